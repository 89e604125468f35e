/* A disk that hangs: to be preloaded. While the file HUNG_DISK names exists, fsync and fdatasync do not return.
 *
 * What was written before is in the page cache, where other processes read it, as with a real disk that hangs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_for_it(void) {
    const char *path = getenv("HUNG_DISK");
    const struct timespec moment = {0, 10 * 1000 * 1000};
    while (path && access(path, F_OK) == 0)
        nanosleep(&moment, NULL);
}

static int then(const char *name, int file) {
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    wait_for_it();
    return real(file);
}

int fsync(int file) { return then("fsync", file); }

int fdatasync(int file) { return then("fdatasync", file); }
