/* Rules R1 and R6: a disk that fails. Every system call that saving and loading make is refused in turn, with ENOSPC and EIO, does only
 * half, or is interrupted; the process is killed before each; then the real thing: a full file system, /dev/full, a file size limit. A
 * save leaves the old file or the new one and nothing beside it; what can be tried again is; the objects do not notice. The calls of
 * this program stand before libc's, so the library's end here. */
#include "tour.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { HALF = -1, KILL = -2 }; /* beside errno values */

/* The system call that fails: the `at`th from now, 0 = none. */
static int at, how, seen, happened;

/* What becomes of this call: 0 = it is made, else HALF or an errno value. */
static int refused(int can_be_interrupted, int can_be_half)
{
    if (at == 0 || ++seen != at) return 0;
    if (how == KILL) kill(getpid(), SIGKILL);
    if ((how == EINTR && !can_be_interrupted) || (how == HALF && !can_be_half)) return 0;
    happened = 1;
    return how;
}

#define REFUSE(interrupted) \
    do { \
        int error = refused(interrupted, 0); \
        if (error != 0) { \
            errno = error; \
            return -1; \
        } \
    } while (0)

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list more;
    va_start(more, flags);
    if (flags & O_CREAT) mode = va_arg(more, mode_t);
    va_end(more);
    REFUSE(1);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t write(int file, const void *bytes, size_t n)
{
    int error = refused(1, n > 1);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_write, file, bytes, error == HALF ? n / 2 : n);
}

ssize_t pread(int file, void *bytes, size_t n, off_t offset)
{
    int error = refused(1, n > 1);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pread64, file, bytes, error == HALF ? n / 2 : n, offset);
}

int fsync(int file)
{
    REFUSE(1);
    return (int)syscall(SYS_fsync, file);
}

int close(int file)
{
    int error = refused(1, 0); /* Linux has closed it whatever it says */
    int result = (int)syscall(SYS_close, file);
    if (error == 0) return result;
    errno = error;
    return -1;
}

int rename(const char *from, const char *to)
{
    REFUSE(0);
    return (int)syscall(SYS_rename, from, to);
}

int fchmod(int file, mode_t mode)
{
    REFUSE(0);
    return (int)syscall(SYS_fchmod, file, mode);
}

int fstat(int file, struct stat *status)
{
    REFUSE(0);
    return fstatat(file, "", status, AT_EMPTY_PATH);
}

static size_t contents(const char *path, unsigned char **bytes)
{
    FILE *file = fopen(path, "rb");
    long size;
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0);
    rewind(file);
    *bytes = (unsigned char *)malloc((size_t)size + 1);
    CHECK(*bytes != NULL && fread(*bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    return (size_t)size;
}

static int entries(const char *folder)
{
    DIR *list = opendir(folder);
    struct dirent *entry;
    int n = 0;
    CHECK(list != NULL);
    while ((entry = readdir(list)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) n++;
    closedir(list);
    return n;
}

static const char output[] = "output of earlier";
static unsigned char *wanted;
static size_t wanted_size;

static void put_old_file(const tour *t)
{
    FILE *file = fopen(t->output_file, "wb");
    CHECK(file != NULL && fwrite(output, 1, sizeof output, file) == sizeof output && fclose(file) == 0);
}

/* 1 = the old file, 2 = the new one. */
static int found(const tour *t)
{
    unsigned char *bytes;
    size_t size = contents(t->output_file, &bytes);
    int result = size == sizeof output && same(bytes, output, size) ? 1
        : size == wanted_size && same(bytes, wanted, size) ? 2 : 0;
    free(bytes);
    return result;
}

/* Calls in turn until none is left; returns how many were there. */
static int refuse_each(tour *t, const tour_step *step, int saves, int error)
{
    uint64_t before = tour_hash(t);
    int k, refusals = 0;
    for (k = 1;; k++) {
        int64_t handles = nested_live_handles(NESTED_HANDLE_ANY);
        int files, descriptors = entries("/proc/self/fd");
        nested_status status;
        if (saves) put_old_file(t);
        files = entries(scratch_directory);
        at = k;
        how = error;
        seen = happened = 0;
        status = step->go(t);
        at = 0;
        if (!happened) {
            OK(status);
            if (seen < k) break;
        } else if (error == EINTR || error == HALF) {
            OK(status);
        } else if (status != NESTED_OK) {
            nested_error e;
            NESTED_INIT(e);
            FAILS(NESTED_E_IO, status);
            OK(nested_last_error(&e));
            CHECK(e.os_error == error);
            CHECK(strstr(e.place, scratch_directory) != NULL);
            refusals++;
        }
        if (saves) CHECK(found(t) == 2 || (found(t) == 1 && status != NESTED_OK));
        CHECK(entries(scratch_directory) == files && entries("/proc/self/fd") == descriptors);
        CHECK(nested_live_handles(NESTED_HANDLE_ANY) == handles);
        if (saves || status != NESTED_OK) CHECK(tour_hash(t) == before);
        before = tour_hash(t);
    }
    CHECK(error == EINTR || error == HALF || refusals > 1);
    return k - 1;
}

/* A child is killed before each call; what is there is one of the two files. A temporary one may be left. */
static void killed_at_each(tour *t, const tour_step *step, int calls)
{
    char command[200];
    int k, old = 0, new = 0;
    for (k = 1; k <= calls; k++) {
        pid_t child;
        int status = 0;
        put_old_file(t);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            at = k;
            how = KILL;
            seen = 0;
            (void)step->go(t);
            _exit(9);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFSIGNALED(status)) fprintf(stderr, "%s, call %d of %d: status %#x\n", step->function, k, calls, (unsigned)status);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK(found(t) != 0);
        if (found(t) == 1) old++;
        else new++;
    }
    CHECK(old > 2 && new > 0);
    snprintf(command, sizeof command, "rm -f %s/.nested-*.tmp", scratch_directory);
    CHECK(system(command) == 0);
}

static void failing(tour *t, const char *name, int saves)
{
    static const int errors[] = {ENOSPC, EIO, EINTR, HALF};
    int i, calls = 0;
    size_t j;
    for (i = 0; strcmp(tour_steps[i].function, name) != 0; i++) continue;
    if (saves) {
        OK(tour_steps[i].go(t));
        free(wanted);
        wanted_size = contents(t->output_file, &wanted);
    }
    for (j = 0; j < sizeof errors / sizeof *errors; j++) {
        int made = refuse_each(t, &tour_steps[i], saves, errors[j]);
        if (j == 0) calls = made;
    }
    CHECK(calls >= 4);
    if (saves) killed_at_each(t, &tour_steps[i], calls);
}

/* The system says no by itself. `error` 0 = any. */
static void refused_by_system(tour *t, const char *path, int error)
{
    nested_error e;
    uint64_t before = tour_hash(t);
    int i;
    for (i = 0; i < 3; i++) {
        nested_status status = i == 0 ? nested_model_save(t->model, path, 0, NULL)
            : i == 1 ? nested_session_save(t->session, path, 0, NULL) : nested_trainer_save(t->trainer, path, 0, NULL);
        FAILS(NESTED_E_IO, status);
        NESTED_INIT(e);
        OK(nested_last_error(&e));
        CHECK(e.os_error == error);
    }
    CHECK(tour_hash(t) == before);
}

static void real_disks(tour *t)
{
    const char *folder = scratch("full");
    struct rlimit limit, small;
    struct stat status;
    char path[160];
    FILE *file;

    /* A device is no file to replace. */
    refused_by_system(t, "/dev/full", EINVAL);
    CHECK(stat("/dev/full", &status) == 0 && S_ISCHR(status.st_mode));
    refused_by_system(t, "/proc/nested", ENOENT);
    CHECK(mkdir(folder, 0700) == 0);
    refused_by_system(t, folder, EINVAL);

    /* A file system of 12 KiB. Mounting is for root in a container that may. */
    if (mount("none", folder, "tmpfs", 0, "size=12k") == 0) {
        snprintf(path, sizeof path, "%s/file", folder);
        CHECK((file = fopen(path, "wb")) != NULL && fputs("old", file) >= 0 && fclose(file) == 0);
        refused_by_system(t, path, ENOSPC);
        CHECK(entries(folder) == 1 && stat(path, &status) == 0 && status.st_size == 3);
        CHECK(unlink(path) == 0 && umount(folder) == 0);
    } else {
        printf("no mount here: the full file system was not tried\n");
    }
    CHECK(rmdir(folder) == 0);

    /* A size limit: EFBIG, without the signal that would end the process. */
    CHECK(signal(SIGXFSZ, SIG_DFL) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    small = limit;
    small.rlim_cur = 8192;
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    {
        nested_error e;
        put_old_file(t);
        FAILS(NESTED_E_IO, nested_model_save(t->model, t->output_file, 0, NULL));
        NESTED_INIT(e);
        OK(nested_last_error(&e));
        CHECK(e.os_error == EFBIG && found(t) == 1);
    }
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

int main(void)
{
    tour t;
    tour_open(&t, 1);
    failing(&t, "nested_model_save", 1);
    failing(&t, "nested_session_save", 1);
    failing(&t, "nested_trainer_save", 1);
    failing(&t, "nested_model_load", 0);
    failing(&t, "nested_session_load", 0);
    failing(&t, "nested_trainer_load", 0);
    real_disks(&t);
    free(wanted);
    tour_close(&t);
    remove_scratch();
    return done();
}
