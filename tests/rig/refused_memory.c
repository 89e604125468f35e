/* Counts how often a process was refused memory: to be preloaded. It refuses none by itself; a limit does (setrlimit(2)).
 *
 * REFUSED_MEMORY  path of a file of PLACES longs. The one at the number of a process, modulo PLACES, is its count.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PLACES = 1 << 16 };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static long *counts;

static __attribute__((constructor)) void begin(void) {
    const char *path = getenv("REFUSED_MEMORY");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, PLACES * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    counts = page == MAP_FAILED ? NULL : page;
}

static void count(void) {
    if (counts != NULL)
        __atomic_fetch_add(&counts[getpid() % PLACES], 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
    void *memory = __libc_malloc(size);
    if (memory == NULL)
        count();
    return memory;
}

void *calloc(size_t number, size_t size) {
    void *memory = __libc_calloc(number, size);
    if (memory == NULL)
        count();
    return memory;
}

void *realloc(void *old, size_t size) {
    void *memory = __libc_realloc(old, size);
    if (memory == NULL && size != 0) /* of no size: it was freed */
        count();
    return memory;
}

/* Python's arenas. */
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    long memory = syscall(SYS_mmap, address, length, protection, flags, file, offset);
    if (memory == -1)
        count();
    return (void *)memory;
}
