/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `vhost fs ls|cat|put`: look into a file system that a back end serves.
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vhost/fs.h>

#include "cli.h"
#include "out.h"

#define COPY_SIZE ((size_t)4 << 20)

enum command { LS, CAT, PUT, N_COMMANDS };

struct fs {
    struct client client;
    enum command command;
    const char *uri;
    const char *path;
    struct vhost_fs *fs;
    struct vhost_error *err;
    json_object *json; /* of ls: the entries */
};

static const char *const commands[N_COMMANDS] = { "ls", "cat", "put" };

static const struct argp_child children[] = { { .argp = &client_argp }, { 0 } };

static void set_command(struct fs *s, const char *arg, struct argp_state *state)
{
    for (unsigned i = 0; i < N_COMMANDS; i++) {
        if (strcmp(arg, commands[i]) == 0) {
            s->command = (enum command)i;
            return;
        }
    }
    argp_error(state, "ls, cat or put? Not '%s'", arg);
}

static void check_usage(const struct fs *s, struct argp_state *state)
{
    if (!s->path) {
        argp_error(state, "ls, cat or put, a file system and a path are "
                          "needed");
    }
    if (strncmp(s->uri, "user:", 5) != 0) {
        argp_error(state, "which file system? A URI begins with 'user:'");
    }
    if (s->client.json && s->command != LS) {
        argp_error(state, "--json is for ls");
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct fs *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->client;
        return 0;
    case ARGP_KEY_ARG:
        switch (state->arg_num) {
        case 0:
            set_command(s, arg, state);
            return 0;
        case 1:
            s->uri = arg;
            return 0;
        case 2:
            s->path = arg;
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
        }
    case ARGP_KEY_END:
        check_usage(s, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .children = children,
    .args_doc = "ls URI PATH\ncat URI PATH\nput URI PATH",
    .doc = "List a file or a directory of a file system, write a file to "
           "standard output, or standard input to a file.\vURI is user:PATH, "
           "the socket of a vhost-user back end such as virtiofsd; PATH begins "
           "at the root of the file system, /.",
};

/* ls */

static char letter_of(mode_t mode)
{
    static const struct {
        mode_t type;
        char letter;
    } letters[] = { { S_IFREG, '-' }, { S_IFDIR, 'd' }, { S_IFLNK, 'l' },
                    { S_IFCHR, 'c' }, { S_IFBLK, 'b' }, { S_IFIFO, 'p' } };

    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if ((mode & S_IFMT) == letters[i].type) {
            return letters[i].letter;
        }
    }
    return 's';
}

static void format_mode(char text[11], mode_t mode)
{
    static const char bits[] = "rwxrwxrwx";

    text[0] = letter_of(mode);
    for (unsigned i = 0; i < 9; i++) {
        text[1 + i] = '-';
        if (mode & (0400u >> i)) {
            text[1 + i] = bits[i];
        }
    }
    text[10] = '\0';
}

/* A name may hold anything: no control character reaches the terminal. */
static void print_name(const char *name)
{
    for (; *name; name++) {
        putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
    }
    putchar('\n');
}

static void show(struct fs *s, const char *name, const struct stat *st)
{
    char mode[11], when[20];
    struct tm tm;

    format_mode(mode, st->st_mode);
    if (s->json) {
        json_object *o = json_object_new_object();

        out_json_text(o, "name", name);
        out_json_text(o, "mode", mode);
        out_json_uint(o, "uid", st->st_uid);
        out_json_uint(o, "gid", st->st_gid);
        out_json_uint(o, "size", (uint64_t)st->st_size);
        out_json_uint(o, "mtime", (uint64_t)st->st_mtim.tv_sec);
        json_object_array_add(s->json, o);
        return;
    }
    if (!localtime_r(&st->st_mtim.tv_sec, &tm) ||
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm) == 0) {
        when[0] = '?';
        when[1] = '\0';
    }
    printf("%s %5u %5u %12lld %-16s ", mode, st->st_uid, st->st_gid,
           (long long)st->st_size, when);
    print_name(name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **at;
    size_t n, room;
};

static int add_name(struct names *names, const char *name)
{
    if (names->n == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        char **at = reallocarray(names->at, room, sizeof(*at));

        if (!at) {
            return -ENOMEM;
        }
        names->at = at;
        names->room = room;
    }
    names->at[names->n] = strdup(name);
    return names->at[names->n++] ? 0 : -ENOMEM;
}

static int read_names(struct fs *s, struct names *names)
{
    int dir = vhost_fs_open(s->fs, s->path, O_RDONLY | O_DIRECTORY, 0, &s->err);
    struct vhost_fs_dirent entry;
    int r = dir < 0 ? dir : 0;

    while (r == 0) {
        r = vhost_fs_readdir(s->fs, dir, &entry, &s->err);
        if (r <= 0) {
            break;
        }
        r = 0;
        if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0) {
            r = add_name(names, entry.name);
        }
    }
    if (dir >= 0) {
        vhost_fs_close(s->fs, dir, NULL);
    }
    return r;
}

/* What goes away while it is listed is not missed. */
static int show_entry(struct fs *s, const char *name)
{
    struct stat st;
    char *path;
    int r;

    if (asprintf(&path, "%s/%s", s->path, name) < 0) {
        return -ENOMEM;
    }
    r = vhost_fs_stat(s->fs, path, &st, &s->err);
    free(path);
    if (r == -ENOENT) {
        vhost_error_free(s->err);
        s->err = NULL;
        return 0;
    }
    if (r == 0) {
        show(s, name, &st);
    }
    return r;
}

static int list_directory(struct fs *s)
{
    struct names names = { 0 };
    int r = read_names(s, &names);

    qsort(names.at, names.n, sizeof(*names.at), compare);
    for (size_t i = 0; i < names.n; i++) {
        if (r == 0) {
            r = show_entry(s, names.at[i]);
        }
        free(names.at[i]);
    }
    free(names.at);
    return r;
}

static int run_ls(struct fs *s)
{
    struct stat st;
    int r = vhost_fs_stat(s->fs, s->path, &st, &s->err);

    if (s->client.json) {
        s->json = json_object_new_array();
    }
    if (r == 0 && S_ISDIR(st.st_mode)) {
        r = list_directory(s);
    } else if (r == 0) {
        show(s, s->path, &st);
    }
    if (s->json && r == 0) {
        out_json(s->json);
    } else if (s->json) {
        json_object_put(s->json);
    }
    return r;
}

/* cat and put */

static int failed(const char *what)
{
    int code = errno;

    out_error("%s: %s", what, strerror(code));
    return -code;
}

static int write_all(const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, len);

        if (n < 0 && errno != EINTR) {
            return failed("standard output");
        }
        buf += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int copy_out(struct fs *s, int file, char *buf)
{
    uint64_t offset = 0;

    for (;;) {
        ssize_t n = vhost_fs_read(s->fs, file, buf, COPY_SIZE, offset, &s->err);
        int r = n > 0 ? write_all(buf, (size_t)n) : (int)n;

        if (n <= 0 || r < 0) {
            return r;
        }
        offset += (uint64_t)n;
    }
}

static int put_all(struct fs *s, int file, const char *buf, size_t len,
                   uint64_t offset)
{
    while (len > 0) {
        ssize_t n = vhost_fs_write(s->fs, file, buf, len, offset, &s->err);

        if (n == 0) {
            out_error("%s: nothing more can be written", s->path);
            return -ENOSPC;
        }
        if (n < 0) {
            return (int)n;
        }
        buf += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int copy_in(struct fs *s, int file, char *buf)
{
    uint64_t offset = 0;

    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf, COPY_SIZE);
        int r;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? failed("standard input") : 0;
        }
        r = put_all(s, file, buf, (size_t)n, offset);
        if (r < 0) {
            return r;
        }
        offset += (uint64_t)n;
    }
}

static int run_copy(struct fs *s)
{
    bool put = s->command == PUT;
    int file = vhost_fs_open(s->fs, s->path,
                             put ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY,
                             0644, &s->err);
    char *buf = malloc(COPY_SIZE);
    int closed, r = buf ? 0 : -ENOMEM;

    if (file < 0) {
        free(buf);
        return file;
    }
    if (r == 0) {
        r = put ? copy_in(s, file, buf) : copy_out(s, file, buf);
    }
    closed = vhost_fs_close(s->fs, file, r < 0 ? NULL : &s->err);
    free(buf);
    return r < 0 ? r : closed;
}

int fs_main(int argc, char **argv)
{
    struct fs s = { .client = CLIENT_DEFAULTS };
    struct vhost_fs_options options = { .size = sizeof(options) };
    int r = -1;

    argp_parse(&argp, argc, argv, 0, NULL, &s);
    options.deadline_ms = s.client.deadline_ms;
    options.request_ms = s.client.request_ms;
    s.fs = vhost_fs_mount(s.uri, &options, &s.err);
    if (s.fs) {
        r = s.command == LS ? run_ls(&s) : run_copy(&s);
    }
    if (s.err) {
        out_library_error(s.err);
    } else if (r == -ENOMEM) {
        out_error("out of memory");
    }
    vhost_fs_unmount(s.fs);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
