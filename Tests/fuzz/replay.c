/* Runs a target without a fuzzer: every file of a corpus, then mutations of them by chance for a while.
 *
 *     replay [-seconds=N] [-seed=N] file-or-folder ...
 *
 * Prints "ok N", the number of runs, and how many of these inputs the library took. What was running when the process
 * died is in `replay-crash`. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

extern unsigned long accepted;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

typedef struct {
    uint8_t *data;
    size_t size;
} input;

static input *inputs;
static size_t count;
static const uint8_t *running;
static size_t running_size;
static uint64_t state = 1;

static uint32_t chance(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* What libFuzzer has of its own; here only changes by chance, for targets that call it and for those without a mutator. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    static const uint8_t bytes[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '}', '[', ']', ',', ':', '-', '0', '9', '.', 'e', '\\'};
    uint32_t rounds = 1 + chance() % 4;
    while (rounds-- > 0) {
        size_t at = size ? chance() % size : 0, n = size ? chance() % (size - at < 16 ? size - at + 1 : 16) : 0;
        switch (chance() % 5) {
        case 0: if (size) data[at] ^= (uint8_t)(1u << chance() % 8); break;
        case 1: if (size) data[at] = bytes[chance() % sizeof bytes]; break;
        case 2: /* a piece less */
            memmove(data + at, data + at + n, size - at - n);
            size -= n;
            break;
        case 3: /* a piece twice */
            if (size + n > max_size) break;
            memmove(data + at + n, data + at, size - at);
            size += n;
            break;
        default: /* one byte more */
            if (size == max_size) break;
            memmove(data + at + 1, data + at, size - at);
            data[at] = chance() % 2 ? bytes[chance() % sizeof bytes] : (uint8_t)chance();
            size++;
        }
    }
    return size;
}

static void add(const char *path)
{
    struct stat status;
    FILE *file;
    if (stat(path, &status) != 0) {
        perror(path);
        exit(2);
    }
    if (S_ISDIR(status.st_mode)) {
        struct dirent **names;
        int i, n = scandir(path, &names, NULL, alphasort);
        for (i = 0; i < n; i++) {
            char *inside;
            if (names[i]->d_name[0] == '.' || asprintf(&inside, "%s/%s", path, names[i]->d_name) < 0) continue;
            add(inside);
            free(inside);
            free(names[i]);
        }
        return;
    }
    inputs = realloc(inputs, (count + 1) * sizeof *inputs);
    inputs[count].size = (size_t)status.st_size;
    inputs[count].data = malloc(inputs[count].size + 1);
    file = fopen(path, "rb");
    if (file == NULL || fread(inputs[count].data, 1, inputs[count].size, file) != inputs[count].size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    count++;
}

static void died(int signal)
{
    int file = open("replay-crash", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file >= 0 && write(file, running, running_size) >= 0) close(file);
    raise(signal); /* SA_RESETHAND: this time it ends the process */
}

static void run(const uint8_t *data, size_t size)
{
    running = data;
    running_size = size;
    alarm(20);
    LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM};
    struct sigaction action = {.sa_handler = died, .sa_flags = SA_RESETHAND};
    static uint8_t data[1 << 20];
    unsigned long runs = 0, seconds = 0;
    time_t end;
    size_t i;
    int a;
    for (a = 1; a < argc; a++) {
        if (sscanf(argv[a], "-seconds=%lu", &seconds) == 1) continue;
        if (sscanf(argv[a], "-seed=%lu", &state) == 1) continue;
        add(argv[a]);
    }
    if (count == 0) return fprintf(stderr, "no input\n"), 2;
    for (i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaction(fatal[i], &action, NULL);
    for (i = 0; i < count; i++, runs++) run(inputs[i].data, inputs[i].size);
    end = time(NULL) + (time_t)seconds;
    state = state * 2654435761u + 88172645463325252ull;
    while (time(NULL) < end) {
        const input *from = &inputs[chance() % count];
        size_t size = from->size < sizeof data ? from->size : sizeof data;
        uint32_t rounds = 1 + chance() % 3;
        memcpy(data, from->data, size);
        while (rounds-- > 0)
            size = LLVMFuzzerCustomMutator != NULL ? LLVMFuzzerCustomMutator(data, size, sizeof data, chance())
                                                   : LLVMFuzzerMutate(data, size, sizeof data);
        run(data, size);
        runs++;
    }
    printf("ok %lu, %lu accepted\n", runs, accepted);
    return 0;
}
