/* Makes the medium slow or broken for one process: fdatasync and fsync obey the file that DISK_MODE names. It holds
 * `slow MILLISECONDS`, `fail`, or nothing. Loaded with LD_PRELOAD by tests only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int obey(const char *name, int fd)
{
    const char *path = getenv("DISK_MODE");
    char text[32] = "";
    int mode = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (mode >= 0) {
        ssize_t length = read(mode, text, sizeof text - 1);
        text[length > 0 ? length : 0] = '\0';
        close(mode);
    }
    if (strncmp(text, "slow ", 5) == 0)
        usleep((useconds_t)atoi(text + 5) * 1000);
    if (strncmp(text, "fail", 4) == 0) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fdatasync(int fd) { return obey("fdatasync", fd); }
int fsync(int fd) { return obey("fsync", fd); }
