/*
 * A disk that fails on command, between a program and libc (LD_PRELOAD). tests/crash/ compiles and drives it.
 *
 *   FAULTS_FOLDER   only what happens to files below this folder is counted, failed and written down
 *   FAULTS_CONTROL  a file of CELLS numbers of 64 bits; mapped, so that a test can arm the layer and read it at any time
 *   FAULTS_JOURNAL  optional: every change, with its bytes, in the order in which it happened. From it a test computes
 *                   what a disk would hold after a power loss: what was synced for certain, of the rest whatever it likes
 *
 * Everything ends in system calls of its own and not in the next library's functions, so nothing here allocates, and
 * neither the order of libraries nor the allocator matters. Deliberately absent: reads (a damaged file is another test's
 * subject), and memory-mapped files (SQLite keeps only its index of the log in one, and no power loss may rely on it).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Kinds of operations: bits of `CELL_KINDS`, places in `CELL_COUNTS`. */
enum { OPEN, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, ALLOCATE, MAP, KINDS };

/* What happens at the armed operation. */
enum { FAIL = 1, SHORT = 2, KILL_BEFORE = 3, KILL_AFTER = 4 };

enum {
    CELL_LOADED, /* set to 1 by the layer */
    CELL_KINDS,  /* which kinds count toward CELL_AT */
    CELL_AT,     /* the number, from 1, of the first operation that it happens to; 0: none */
    CELL_TIMES,  /* how many operations it happens to */
    CELL_ACTION,
    CELL_ERRNO,
    CELL_SEEN, /* operations that counted since it was armed */
    CELL_HITS, /* operations that it happened to */
    CELL_SLOW, /* microseconds that every sync takes longer */
    CELL_LIES, /* not 0: syncs succeed and do nothing, and the journal does not have them */
    CELL_STEP, /* seconds by which somebody has set the wall clock */
    CELL_COUNTS,
    CELLS = CELL_COUNTS + KINDS
};

/* What the journal holds; a head of six numbers, then `length` bytes. */
enum {
    J_FOUND = 1,
    J_CREATED,
    J_WRITE,
    J_TRUNCATE,
    J_SYNC_BEGIN,
    J_SYNC_END,
    J_SYNC_FAILED, /* what was written before is never written again by itself: the kernel takes it for clean */
    J_UNLINK,
    J_RENAME,
    J_FOLDER_SYNC_BEGIN,
    J_FOLDER_SYNC_END
};

struct head {
    uint64_t what, inode, number, offset, length, reserved;
};

#define FILES 4096

static struct {
    char tracked, folder;
    uint64_t inode;
} files[FILES];

static uint64_t *cells;
static int journal = -1;
static char folder[PATH_MAX];
static size_t folder_length;
static uint64_t syncs;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *under = getenv("FAULTS_FOLDER"), *control = getenv("FAULTS_CONTROL"), *log = getenv("FAULTS_JOURNAL");
    if (!under || !control || strlen(under) >= sizeof folder) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) return;
    void *map = mmap(NULL, CELLS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (map == MAP_FAILED) return;
    if (log) {
        journal = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (journal < 0) return;
    }
    folder_length = strlen(under);
    memcpy(folder, under, folder_length + 1);
    cells = map;
    __atomic_store_n(&cells[CELL_LOADED], 1, __ATOMIC_SEQ_CST);
}

static uint64_t cell(int at) { return __atomic_load_n(&cells[at], __ATOMIC_SEQ_CST); }

/* Whether a path lies below the folder, or is it. Paths are absolute wherever it matters. */
static int below(const char *path) {
    return cells && path && !strncmp(path, folder, folder_length) && (!path[folder_length] || path[folder_length] == '/');
}

static int tracked(int file) { return cells && file >= 0 && file < FILES && files[file].tracked; }

static void note(uint64_t what, uint64_t inode, uint64_t number, uint64_t offset, const void *bytes, uint64_t length) {
    if (journal < 0) return;
    struct head head = {what, inode, number, offset, length, 0};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, length}};
    /* One call, so that a kill leaves a record whole or out. */
    if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof head + length)) abort();
}

/* Counts an operation. Gives what shall happen to it: 0 or an action; `errno` is set for FAIL and SHORT. */
static int happens(int kind) {
    __atomic_fetch_add(&cells[CELL_COUNTS + kind], 1, __ATOMIC_SEQ_CST);
    uint64_t at = cell(CELL_AT);
    if (!at || !(cell(CELL_KINDS) >> kind & 1)) return 0;
    uint64_t seen = __atomic_add_fetch(&cells[CELL_SEEN], 1, __ATOMIC_SEQ_CST);
    if (seen < at || seen - at >= cell(CELL_TIMES)) return 0;
    __atomic_fetch_add(&cells[CELL_HITS], 1, __ATOMIC_SEQ_CST);
    int action = (int)cell(CELL_ACTION);
    if (action == KILL_BEFORE) syscall(SYS_kill, getpid(), SIGKILL);
    errno = (int)cell(CELL_ERRNO);
    return action;
}

static long done(int action, long result) {
    if (action == KILL_AFTER) syscall(SYS_kill, getpid(), SIGKILL);
    return result;
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static int do_open(int at, const char *path, int flags, mode_t mode) {
    if (at != AT_FDCWD || !below(path)) {
        int file = (int)syscall(SYS_openat, at, path, flags, mode);
        if (cells && file >= 0 && file < FILES) files[file].tracked = 0;
        return file;
    }
    int action = happens(OPEN);
    if (action == FAIL || action == SHORT) return -1;
    pthread_mutex_lock(&order);
    int known = !syscall(SYS_faccessat, AT_FDCWD, path, F_OK);
    int file = (int)syscall(SYS_openat, at, path, flags, mode);
    int failure = errno;
    struct stat about;
    if (file >= 0 && file < FILES && !fstat(file, &about)) {
        files[file].tracked = 1;
        files[file].folder = S_ISDIR(about.st_mode);
        files[file].inode = about.st_ino;
        if (!files[file].folder) note(known ? J_FOUND : J_CREATED, about.st_ino, 0, 0, path, strlen(path));
        if (known && (flags & O_TRUNC)) note(J_TRUNCATE, about.st_ino, 0, 0, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    errno = failure;
    return (int)done(action, file);
}

#define OPENER(name, ...)                                  \
    int name(__VA_ARGS__, int flags, ...) {                \
        mode_t mode = 0;                                   \
        if (flags & (O_CREAT | __O_TMPFILE)) {             \
            va_list rest;                                  \
            va_start(rest, flags);                         \
            mode = va_arg(rest, mode_t);                   \
            va_end(rest);                                  \
        }

OPENER(open, const char *path) return do_open(AT_FDCWD, path, flags, mode); }
OPENER(open64, const char *path) return do_open(AT_FDCWD, path, flags, mode); }
OPENER(openat, int at, const char *path) return do_open(at, path, flags, mode); }
OPENER(openat64, int at, const char *path) return do_open(at, path, flags, mode); }

int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int file) {
    if (tracked(file)) files[file].tracked = 0;
    return (int)syscall(SYS_close, file);
}

/* A second number for the same file. */
static int copied(int file, int copy) {
    if (cells && copy >= 0 && copy < FILES) {
        if (tracked(file)) files[copy] = files[file];
        else files[copy].tracked = 0;
    }
    return copy;
}

int dup(int file) { return copied(file, (int)syscall(SYS_dup, file)); }
int dup2(int file, int copy) { return file == copy ? copy : copied(file, (int)syscall(SYS_dup3, file, copy, 0)); }
int dup3(int file, int copy, int flags) { return copied(file, (int)syscall(SYS_dup3, file, copy, flags)); }

#define CONTROLLER(name)                                                                  \
    int name(int file, int command, ...) {                                                \
        va_list rest;                                                                     \
        va_start(rest, command);                                                          \
        void *argument = va_arg(rest, void *);                                            \
        va_end(rest);                                                                     \
        int result = (int)syscall(SYS_fcntl, file, command, argument);                    \
        return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(file, result) : result; \
    }

CONTROLLER(fcntl)
CONTROLLER(fcntl64)

/* A write at `offset`; below zero: where the file stands, which moves on. */
static ssize_t do_write(int file, const struct iovec *parts, int count, off_t offset) {
    int action = happens(WRITE);
    if (action == FAIL) return -1;
    static char joined[4 << 20]; /* under `order`; a longer write is a short one */
    size_t length = 0;
    pthread_mutex_lock(&order);
    for (int part = 0; part < count && length < sizeof joined; part++) {
        size_t room = sizeof joined - length, more = parts[part].iov_len < room ? parts[part].iov_len : room;
        memcpy(joined + length, parts[part].iov_base, more);
        length += more;
    }
    if (action == SHORT) length /= 2;
    off_t at = offset < 0 ? lseek(file, 0, SEEK_CUR) : offset;
    ssize_t written = offset < 0 ? syscall(SYS_write, file, joined, length) : syscall(SYS_pwrite64, file, joined, length, offset);
    int failure = errno;
    if (written > 0) note(J_WRITE, files[file].inode, 0, (uint64_t)at, joined, (uint64_t)written);
    pthread_mutex_unlock(&order);
    errno = failure;
    return done(action, written);
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (!tracked(file)) return syscall(SYS_write, file, bytes, length);
    struct iovec part = {(void *)bytes, length};
    return do_write(file, &part, 1, -1);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    return tracked(file) ? do_write(file, parts, count, -1) : syscall(SYS_writev, file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t offset) {
    if (!tracked(file)) return syscall(SYS_pwrite64, file, bytes, length, offset);
    struct iovec part = {(void *)bytes, length};
    return do_write(file, &part, 1, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) { return pwrite64(file, bytes, length, offset); }

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    return tracked(file) ? do_write(file, parts, count, offset) : syscall(SYS_pwritev, file, parts, count, offset, 0);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset) { return pwritev(file, parts, count, offset); }

static int do_truncate(int file, off_t length) {
    if (!tracked(file)) return (int)syscall(SYS_ftruncate, file, length);
    int action = happens(TRUNCATE);
    if (action == FAIL || action == SHORT) return -1;
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_ftruncate, file, length);
    if (!result) note(J_TRUNCATE, files[file].inode, 0, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&order);
    return (int)done(action, result);
}

int ftruncate(int file, off_t length) { return do_truncate(file, length); }
int ftruncate64(int file, off_t length) { return do_truncate(file, length); }

static int do_allocate(int file, int mode, off_t offset, off_t length) {
    if (!tracked(file)) return (int)syscall(SYS_fallocate, file, mode, offset, length);
    int action = happens(ALLOCATE);
    if (action == FAIL || action == SHORT) return -1;
    struct stat about;
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_fallocate, file, mode, offset, length);
    if (!result && !mode && !fstat(file, &about)) note(J_TRUNCATE, files[file].inode, 0, (uint64_t)about.st_size, NULL, 0);
    pthread_mutex_unlock(&order);
    return (int)done(action, result);
}

int fallocate(int file, int mode, off_t offset, off_t length) { return do_allocate(file, mode, offset, length); }
int fallocate64(int file, int mode, off_t offset, off_t length) { return do_allocate(file, mode, offset, length); }
int posix_fallocate(int file, off_t offset, off_t length) { return do_allocate(file, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int file, off_t offset, off_t length) { return do_allocate(file, 0, offset, length) ? errno : 0; }

static int do_sync(int file, long call) {
    if (!tracked(file)) return (int)syscall(call, file);
    int action = happens(SYNC);
    uint64_t inode = files[file].inode, of_folder = files[file].folder ? 1 : 0;
    if (action == FAIL || action == SHORT) {
        int failure = errno;
        pthread_mutex_lock(&order);
        if (!of_folder) note(J_SYNC_FAILED, inode, 0, 0, NULL, 0);
        pthread_mutex_unlock(&order);
        errno = failure;
        return -1;
    }
    if (cell(CELL_LIES)) return (int)done(action, 0);
    pthread_mutex_lock(&order);
    uint64_t number = ++syncs;
    note(of_folder ? J_FOLDER_SYNC_BEGIN : J_SYNC_BEGIN, inode, number, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    if (cell(CELL_SLOW)) usleep((useconds_t)cell(CELL_SLOW));
    int result = (int)syscall(call, file);
    int failure = errno;
    if (!result) {
        pthread_mutex_lock(&order);
        note(of_folder ? J_FOLDER_SYNC_END : J_SYNC_END, inode, number, 0, NULL, 0);
        pthread_mutex_unlock(&order);
    }
    errno = failure;
    return (int)done(action, result);
}

int fsync(int file) { return do_sync(file, SYS_fsync); }
int fdatasync(int file) { return do_sync(file, SYS_fdatasync); }

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    if (tracked(file)) {
        int action = happens(MAP);
        if (action == FAIL || action == SHORT) return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return mmap64(address, length, protection, flags, file, offset);
}

/* ---- the wall clock ------------------------------------------------------------------------------------------------ */

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (!result && clock == CLOCK_REALTIME && cells) now->tv_sec += (time_t)(int64_t)cell(CELL_STEP);
    return result;
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static int do_rename(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    int ours = from_at == AT_FDCWD && to_at == AT_FDCWD && (below(from) || below(to));
    if (!ours) return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    int action = happens(RENAME);
    if (action == FAIL || action == SHORT) return -1;
    char both[2 * PATH_MAX];
    size_t first = strlen(from) + 1, second = strlen(to);
    if (first + second > sizeof both) abort();
    memcpy(both, from, first);
    memcpy(both + first, to, second);
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (!result) note(J_RENAME, 0, 0, 0, both, first + second);
    pthread_mutex_unlock(&order);
    return (int)done(action, result);
}

int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return do_rename(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return do_rename(from_at, from, to_at, to, flags);
}

static int do_unlink(int at, const char *path, int flags) {
    if (at != AT_FDCWD || !below(path)) return (int)syscall(SYS_unlinkat, at, path, flags);
    int action = happens(UNLINK);
    if (action == FAIL || action == SHORT) return -1;
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (!result) note(J_UNLINK, 0, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&order);
    return (int)done(action, result);
}

int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return do_unlink(at, path, flags); }
