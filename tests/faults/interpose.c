/* Faults at the n-th operation that changes something below a folder; loaded with LD_PRELOAD, harmless until armed.

   Every call of the C library that creates, writes, forces to the disk, renames or removes below the folder is counted,
   whoever makes it: Python, torch, SQLite. At the n-th the process is killed, interrupted, or told that the disk
   refuses. For power failures it keeps a copy of each file as it was when it was last forced to the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, ERROR_ONCE, ERROR_FROM, SHORT_WRITE, SIGNAL, READ_ERROR };
enum kind { CREATE, WRITE, TRUNCATE, SYNC, RENAME, REMOVE, MAKE };
static const char *NAMES[] = {"create", "write", "truncate", "sync", "rename", "remove", "make"};

static int mode, code;
static long at;
static atomic_long reached, reads;
static char root[PATH_MAX], shadow[PATH_MAX];
static int log_fd = -1;

/* shadow_folder is empty where nobody asks what a power failure would leave. */
void fault_arm(int how, long where, int what, const char *folder, const char *log_file, const char *shadow_folder) {
    strncpy(root, folder, sizeof root - 1);
    strncpy(shadow, shadow_folder, sizeof shadow - 1);
    if (*log_file) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    at = where;
    code = what;
    reached = 0;
    reads = 0;
    mode = how;
}
long fault_reached(void) { return reached; }
long fault_reads(void) { return reads; }
void fault_disarm(void) { mode = OFF; }

static int below(const char *path) {
    size_t length = strlen(root);
    const char *end = strrchr(path, '/');
    return !strncmp(path, root, length) && path[length] == '/' && !(end && !strcmp(end, "/calls.log"));
}
static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}
static int full_path(int folder, const char *path, char *full) {
    char place[PATH_MAX];
    if (*path == '/') return snprintf(full, PATH_MAX, "%s", path) > 0;
    if (folder == AT_FDCWD ? !getcwd(place, sizeof place) : !path_of_fd(folder, place)) return 0;
    return snprintf(full, PATH_MAX, "%s/%s", place, path) > 0;
}
static void say(const char *word, const char *first, const char *second, unsigned long inode) {
    char line[3 * PATH_MAX];
    if (log_fd < 0) return;
    int length = snprintf(line, sizeof line, "%ld\t%s\t%lu\t%s\t%s\n", (long)reached, word, inode, first, second);
    syscall(SYS_write, log_fd, line, length);
}

/* What a power failure would leave of a file: its content when it was last forced to the disk. */
static void keep(int fd, const char *path) {
    struct stat about;
    char name[PATH_MAX + 32], piece[65536];
    if (!*shadow || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
    snprintf(name, sizeof name, "%s/%lu", shadow, (unsigned long)about.st_ino);
    int in = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    int out = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (ssize_t count; in >= 0 && out >= 0 && (count = syscall(SYS_read, in, piece, sizeof piece)) > 0;)
        syscall(SYS_write, out, piece, count);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
}
static void keep_link(const char *word, const char *path) {
    char name[PATH_MAX + 32];
    if (!*shadow) return;
    snprintf(name, sizeof name, "%s/%s-%ld", shadow, word, (long)reached);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0);
}

static int needs_space(enum kind kind) { return kind == CREATE || kind == WRITE || kind == TRUNCATE || kind == MAKE; }

/* Counts an operation; whether it is to fail, with errno set. */
static int refused(enum kind kind, const char *first, const char *second, unsigned long inode) {
    long number = ++reached;
    say(NAMES[kind], first, second, inode);
    if (mode == KILL_BEFORE && number == at) syscall(SYS_kill, getpid(), SIGKILL);
    if (mode == KILL_TORN && number == at && kind != WRITE) syscall(SYS_kill, getpid(), SIGKILL);
    int now = mode == ERROR_ONCE ? number == at : mode == ERROR_FROM && number >= at;
    if (!now || ((code == ENOSPC || code == EDQUOT) && !needs_space(kind))) return 0;
    errno = code;
    return 1;
}
static void done(void) {
    if (reached != at) return;
    int before = errno;
    if (mode == KILL_AFTER) syscall(SYS_kill, getpid(), SIGKILL);
    if (mode == SIGNAL) { mode = COUNT; syscall(SYS_kill, getpid(), code); }
    errno = before;
}
static unsigned long inode_of(int fd) {
    struct stat about;
    return fstat(fd, &about) ? 0 : about.st_ino;
}
/* Half of what is written, where the fault is a torn or a short write. */
static size_t portion(size_t count) {
    return reached == at && (mode == KILL_TORN || mode == SHORT_WRITE) && count > 1 ? count / 2 : count;
}
static void torn(void) {
    if (reached == at && mode == KILL_TORN) syscall(SYS_kill, getpid(), SIGKILL);
    done();
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WATCHED(fd) char path[PATH_MAX]; int watched = mode && path_of_fd(fd, path) && below(path)

static int open_any(int folder, const char *name, int flags, mode_t rights) {
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (!mode || !writes || !full_path(folder, name, path) || !below(path))
        return (int)syscall(SYS_openat, folder, name, flags, rights);
    struct stat about;
    int is_new = syscall(SYS_newfstatat, AT_FDCWD, path, &about, 0) != 0;
    if (is_new || flags & O_TRUNC)
        if (refused(CREATE, path, is_new ? "new" : "old", is_new ? 0 : about.st_ino)) return -1;
    int fd = (int)syscall(SYS_openat, folder, name, flags, rights);
    if (fd < 0) return fd;
    char kept[PATH_MAX + 32];
    snprintf(kept, sizeof kept, "%s/%lu", shadow, inode_of(fd));
    if (is_new) {
        if (*shadow) syscall(SYS_unlinkat, AT_FDCWD, kept, 0);
        say("created", path, "", inode_of(fd));
    } else if (*shadow && !(flags & O_TRUNC) && access(kept, F_OK)) keep(fd, path);
    if (is_new || flags & O_TRUNC) done();
    return fd;
}
#define OPENS(name) int name(const char *path, int flags, ...) { va_list more; va_start(more, flags); \
    mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; va_end(more); \
    return open_any(AT_FDCWD, path, flags, rights); }
#define OPENS_AT(name) int name(int folder, const char *path, int flags, ...) { va_list more; va_start(more, flags); \
    mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; va_end(more); \
    return open_any(folder, path, flags, rights); }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)

#define FOPENS(name) FILE *name(const char *path, const char *how) { NEXT(name); char full[PATH_MAX]; \
    int writes = strpbrk(how, "wa+") != NULL; \
    if (!mode || !writes || !full_path(AT_FDCWD, path, full) || !below(full)) return next(path, how); \
    struct stat about; int is_new = stat(full, &about) != 0; \
    if (refused(CREATE, full, is_new ? "new" : "old", 0)) return NULL; \
    FILE *file = next(path, how); if (file && is_new) say("created", full, "", inode_of(fileno(file))); \
    done(); return file; }
FOPENS(fopen) FOPENS(fopen64)

ssize_t write(int fd, const void *data, size_t count) {
    WATCHED(fd);
    if (watched && refused(WRITE, path, "", inode_of(fd))) return -1;
    ssize_t result = syscall(SYS_write, fd, data, watched ? portion(count) : count);
    if (watched) torn();
    return result;
}
static ssize_t pwrite_any(int fd, const void *data, size_t count, off_t offset) {
    WATCHED(fd);
    if (watched && refused(WRITE, path, "", inode_of(fd))) return -1;
    ssize_t result = syscall(SYS_pwrite64, fd, data, watched ? portion(count) : count, offset);
    if (watched) torn();
    return result;
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) { return pwrite_any(fd, data, count, offset); }
ssize_t pwrite64(int fd, const void *data, size_t count, off_t offset) { return pwrite_any(fd, data, count, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    WATCHED(fd);
    if (watched && refused(WRITE, path, "", inode_of(fd))) return -1;
    ssize_t result = syscall(SYS_writev, fd, parts, watched && portion(2) == 1 && count > 1 ? 1 : count);
    if (watched) torn();
    return result;
}
static ssize_t sendfile_any(int out, int in, off_t *offset, size_t count) {
    WATCHED(out);
    if (watched && refused(WRITE, path, "", inode_of(out))) return -1;
    ssize_t result = syscall(SYS_sendfile, out, in, offset, watched ? portion(count) : count);
    if (watched) torn();
    return result;
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return sendfile_any(out, in, offset, count); }
ssize_t sendfile64(int out, int in, off_t *offset, size_t count) { return sendfile_any(out, in, offset, count); }
static int truncate_any(int fd, off_t length) {
    WATCHED(fd);
    if (watched && refused(TRUNCATE, path, "", inode_of(fd))) return -1;
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (watched) done();
    return result;
}
int ftruncate(int fd, off_t length) { return truncate_any(fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_any(fd, length); }
static int sync_any(int fd, long call) {
    WATCHED(fd);
    /* The folder itself is below nothing, and its names matter as much. */
    watched = watched || (mode && !strcmp(path, root));
    if (watched && refused(SYNC, path, "", inode_of(fd))) return -1;
    int result = (int)syscall(call, fd);
    if (watched && !result) { keep(fd, path); say("synced", path, "", inode_of(fd)); }
    if (watched) done();
    return result;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static int rename_any(int from, const char *old, int to, const char *new, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    int watched = mode && full_path(from, old, first) && full_path(to, new, second) && (below(first) || below(second));
    if (watched) {
        if (refused(RENAME, first, second, 0)) return -1;
        if (!(flags & RENAME_EXCHANGE)) keep_link("replaced", second);
    }
    int result = (int)syscall(SYS_renameat2, from, old, to, new, flags);
    if (watched && !result) say(flags & RENAME_EXCHANGE ? "exchanged" : "renamed", first, second, 0);
    if (watched) done();
    return result;
}
int rename(const char *old, const char *new) { return rename_any(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return rename_any(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return rename_any(from, old, to, new, flags);
}
static int remove_any(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    int watched = mode && full_path(folder, name, path) && below(path);
    if (watched) {
        if (refused(REMOVE, path, flags ? "folder" : "file", 0)) return -1;
        if (!flags) keep_link("removed", path);
    }
    int result = (int)syscall(SYS_unlinkat, folder, name, flags);
    if (watched && !result) say("removed", path, flags ? "folder" : "file", 0);
    if (watched) done();
    return result;
}
int unlink(const char *path) { return remove_any(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return remove_any(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int folder, const char *path, int flags) { return remove_any(folder, path, flags); }
static int make_any(int folder, const char *name, mode_t rights) {
    char path[PATH_MAX];
    int watched = mode && full_path(folder, name, path) && below(path);
    if (watched && refused(MAKE, path, "", 0)) return -1;
    int result = (int)syscall(SYS_mkdirat, folder, name, rights);
    if (watched) done();
    return result;
}
int mkdir(const char *path, mode_t rights) { return make_any(AT_FDCWD, path, rights); }
int mkdirat(int folder, const char *path, mode_t rights) { return make_any(folder, path, rights); }

static int unreadable(int fd) {
    WATCHED(fd);
    if (!watched || ++reads != at || mode != READ_ERROR) return 0;
    say("read", path, "", inode_of(fd));
    errno = code;
    return 1;
}
ssize_t read(int fd, void *data, size_t count) {
    return unreadable(fd) ? -1 : syscall(SYS_read, fd, data, count);
}
ssize_t pread(int fd, void *data, size_t count, off_t offset) {
    return unreadable(fd) ? -1 : syscall(SYS_pread64, fd, data, count, offset);
}
ssize_t pread64(int fd, void *data, size_t count, off_t offset) {
    return unreadable(fd) ? -1 : syscall(SYS_pread64, fd, data, count, offset);
}
