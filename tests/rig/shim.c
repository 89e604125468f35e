/* A PKCS#11 module in front of another one: a slow, failing, crashing or deterministic token for tests.
 *
 * SHIM_MODULE  path of the real module; all calls go there, but for those replaced below.
 * SHIM_CTL     path of a file, read again at each call: "DELAY_MS EVERY ACTION LIMIT FUNCTION". FUNCTION is C_Sign,
 *              C_OpenSession, C_Login or C_FindObjectsInit. Each call of it takes DELAY_MS longer; ACTION is done at
 *              each EVERYth of these calls in this process:
 *                ok             nothing
 *                0x30           answer with this CKR code
 *                segv | abort   crash
 *                hang           never come back
 *                deterministic  the same key and digest give the same signature, in every process (C_Sign)
 *              LIMIT is "always", or "once": only the process that removes the file SHIM_TRIGGER does it.
 *              No file: as "0 1 ok always C_Sign".
 * SHIM_FLAGS   path of a file with flags in hex that the token has besides its own (CK_TOKEN_INFO).
 * SHIM_COUNT   path of a file that gets the line "login RESULT" for each C_Login.
 * SHIM_CACHE   folder in which `deterministic` keeps its signatures.
 *
 * Places in the function list and constants: PKCS#11 2.40, pkcs11f.h and pkcs11t.h.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t rv_t;

enum { FUNCTIONS = 68, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24 };
enum { FIND_OBJECTS_INIT = 26, SIGN_INIT = 42, SIGN = 43 };
enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5, CKA_ID = 0x102, DIGEST_BYTES = 32, SIGNATURE_BYTES = 64 };

struct function_list {
    unsigned char version[2];
    void *functions[FUNCTIONS];
};

struct attribute {
    ulong_t type;
    void *value;
    ulong_t length;
};

struct token_info {
    unsigned char names[96]; /* label, manufacturer, model, serial number */
    ulong_t flags;
};

typedef rv_t (*get_token_info_t)(ulong_t slot, struct token_info *);
typedef rv_t (*get_function_list_t)(struct function_list **);
typedef rv_t (*open_session_t)(ulong_t slot, ulong_t flags, void *application, void *notify, ulong_t *session);
typedef rv_t (*login_t)(ulong_t session, ulong_t user, unsigned char *pin, ulong_t length);
typedef rv_t (*get_attribute_value_t)(ulong_t session, ulong_t object, struct attribute *, ulong_t count);
typedef rv_t (*find_objects_init_t)(ulong_t session, struct attribute *, ulong_t count);
typedef rv_t (*sign_init_t)(ulong_t session, void *mechanism, ulong_t key);
typedef rv_t (*sign_t)(ulong_t session, unsigned char *data, ulong_t length, unsigned char *out, ulong_t *out_length);

static struct function_list *real;
static struct function_list ours;
static ulong_t current_key; /* a lane has one session and one thread */
static unsigned long calls; /* of the function that is told of */

static void pause_ms(double ms) {
    struct timespec left = {(time_t)(ms / 1000), (long)((ms - 1000 * (long)(ms / 1000)) * 1e6)};
    while (nanosleep(&left, &left) != 0) {
    }
}

struct control {
    double delay_ms;
    unsigned long every;
    char action[32];
    char limit[32];
    char function[32];
};

static struct control read_control(void) {
    static const struct control nothing = {0, 1, "ok", "always", "C_Sign"};
    struct control control = nothing;
    const char *path = getenv("SHIM_CTL");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (file == NULL)
        return nothing;
    int found = fscanf(file, "%lf %lu %31s %31s %31s", &control.delay_ms, &control.every, control.action,
                       control.limit, control.function);
    fclose(file);
    return found < 5 || control.every == 0 ? nothing : control;
}

/* Whether this call is one to act at. */
static int is_due(const struct control *control) {
    const char *trigger = getenv("SHIM_TRIGGER");
    if (++calls % control->every != 0)
        return 0;
    return strcmp(control->limit, "once") != 0 || (trigger != NULL && unlink(trigger) == 0);
}

/* Do what is to be done at this call of `function`. Returns the code to answer with, CKR_OK where the real call is to be
 * made. `deterministic`: whether its signature is to be. */
static rv_t act(const char *function, int *deterministic) {
    struct control control = read_control();
    const char *action = control.action;
    if (strcmp(control.function, function) != 0)
        return CKR_OK;
    if (control.delay_ms > 0)
        pause_ms(control.delay_ms);
    if (!is_due(&control))
        return CKR_OK;
    if (strcmp(action, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(action, "abort") == 0)
        abort();
    while (strcmp(action, "hang") == 0)
        pause();
    if (deterministic != NULL)
        *deterministic = strcmp(action, "deterministic") == 0;
    return strncmp(action, "0x", 2) == 0 ? strtoul(action, NULL, 16) : CKR_OK;
}

static rv_t get_token_info(ulong_t slot, struct token_info *info) {
    rv_t rv = ((get_token_info_t)real->functions[GET_TOKEN_INFO])(slot, info);
    const char *path = getenv("SHIM_FLAGS");
    FILE *file = path && rv == CKR_OK ? fopen(path, "re") : NULL;
    ulong_t more = 0;
    if (file != NULL) {
        if (fscanf(file, "%lx", &more) == 1)
            info->flags |= more;
        fclose(file);
    }
    return rv;
}

static rv_t open_session(ulong_t slot, ulong_t flags, void *application, void *notify, ulong_t *session) {
    rv_t rv = act("C_OpenSession", NULL);
    return rv ? rv : ((open_session_t)real->functions[OPEN_SESSION])(slot, flags, application, notify, session);
}

static rv_t find_objects_init(ulong_t session, struct attribute *wanted, ulong_t count) {
    rv_t rv = act("C_FindObjectsInit", NULL);
    return rv ? rv : ((find_objects_init_t)real->functions[FIND_OBJECTS_INIT])(session, wanted, count);
}

static rv_t login(ulong_t session, ulong_t user, unsigned char *pin, ulong_t length) {
    rv_t rv = act("C_Login", NULL);
    if (rv == CKR_OK)
        rv = ((login_t)real->functions[LOGIN])(session, user, pin, length);
    const char *path = getenv("SHIM_COUNT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        dprintf(fd, "login 0x%lx\n", rv);
        close(fd);
    }
    return rv;
}

/* Replace `out` by the first signature ever made with this key over this digest, if there was one. */
static void repeat(ulong_t session, const unsigned char *digest, ulong_t length, unsigned char *out) {
    unsigned char id[64];
    struct attribute attribute = {CKA_ID, id, sizeof id};
    const char *folder = getenv("SHIM_CACHE");
    if (folder == NULL || length != DIGEST_BYTES ||
        ((get_attribute_value_t)real->functions[GET_ATTRIBUTE_VALUE])(session, current_key, &attribute, 1) != CKR_OK)
        abort();
    char path[4096];
    int end = snprintf(path, sizeof path - 2 * (sizeof id + DIGEST_BYTES) - 2, "%s/", folder);
    for (ulong_t i = 0; i < attribute.length; i++)
        end += sprintf(path + end, "%02x", id[i]);
    for (int i = 0; i < DIGEST_BYTES; i++)
        end += sprintf(path + end, "%02x", digest[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (write(fd, out, SIGNATURE_BYTES) != SIGNATURE_BYTES)
            abort();
    } else {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, out, SIGNATURE_BYTES) != SIGNATURE_BYTES)
            abort();
    }
    close(fd);
}

static rv_t sign_init(ulong_t session, void *mechanism, ulong_t key) {
    current_key = key;
    return ((sign_init_t)real->functions[SIGN_INIT])(session, mechanism, key);
}

static rv_t sign(ulong_t session, unsigned char *data, ulong_t length, unsigned char *out, ulong_t *out_length) {
    sign_t real_sign = (sign_t)real->functions[SIGN];
    if (out == NULL)
        return real_sign(session, data, length, out, out_length);
    int deterministic = 0;
    rv_t code = act("C_Sign", &deterministic);
    if (code != CKR_OK) {
        /* The real operation is ended first: else it stays active and no later one can begin. */
        unsigned char scratch[256];
        ulong_t scratch_length = sizeof scratch;
        real_sign(session, data, length, scratch, &scratch_length);
        return code;
    }
    rv_t rv = real_sign(session, data, length, out, out_length);
    if (rv == CKR_OK && deterministic)
        repeat(session, data, length, out);
    return rv;
}

rv_t C_GetFunctionList(struct function_list **list) {
    if (real == NULL) {
        const char *path = getenv("SHIM_MODULE");
        void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        get_function_list_t get = module ? (get_function_list_t)dlsym(module, "C_GetFunctionList") : NULL;
        if (get == NULL || get(&real) != CKR_OK) {
            real = NULL;
            return CKR_GENERAL_ERROR;
        }
        ours = *real;
        ours.functions[GET_TOKEN_INFO] = (void *)get_token_info;
        ours.functions[OPEN_SESSION] = (void *)open_session;
        ours.functions[LOGIN] = (void *)login;
        ours.functions[FIND_OBJECTS_INIT] = (void *)find_objects_init;
        ours.functions[SIGN_INIT] = (void *)sign_init;
        ours.functions[SIGN] = (void *)sign;
    }
    *list = &ours;
    return CKR_OK;
}
