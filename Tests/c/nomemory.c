/* Rule R1 and R6: memory that runs out in the middle of a call. Every function of the tour is made to fail at its first, second,
 * third ... allocation until it gets through: at tensors (posix_memalign), at everything small (malloc, calloc, realloc, new), at
 * maps, and at threads; once, and from there on for good. Each time the status says so, every object is as it was, no tensor memory
 * is lost, and the same call works when memory is back. The allocator of this program stands before libc's, so the library's ends
 * here. */
#include "tour.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

enum { TENSORS, SMALL, MAPS, THREADS, N_KINDS };

/* The allocation that fails: the `at`th of `kind` from now, and those after it when `onward`; 0 = none. */
static int kind, at, onward, seen;

static int refused(int which)
{
    if (at == 0 || which != kind) return 0;
    seen++;
    return onward ? seen >= at : seen == at;
}

void *malloc(size_t bytes)
{
    if (!refused(SMALL)) return __libc_malloc(bytes);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t count, size_t bytes)
{
    if (!refused(SMALL)) return __libc_calloc(count, bytes);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *memory, size_t bytes)
{
    if (bytes == 0 || !refused(SMALL)) return __libc_realloc(memory, bytes);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    if (refused(TENSORS)) return ENOMEM;
    *memory = __libc_memalign(alignment, bytes);
    return *memory != NULL ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (!refused(SMALL)) return __libc_memalign(alignment, bytes);
    errno = ENOMEM;
    return NULL;
}

void *mmap(void *where, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (!refused(MAPS))
        return (void *)syscall(SYS_mmap, where, bytes, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *user)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return refused(THREADS) ? EAGAIN : real(thread, attributes, body, user);
}

static const char *const kinds[] = {"tensor", "malloc", "mmap", "thread"};
static int failures, got_through;

static nested_status without(int which, int k, int forever, tour *t, nested_status (*go)(tour *))
{
    nested_status status;
    kind = which;
    onward = forever;
    seen = 0;
    at = k;
    status = go(t);
    at = 0;
    return status;
}

/* Out of memory, or not: anything else is wrong, and so is an answer without cause. */
static int ran_out(nested_status status, const char *function, int k)
{
    if (status == NESTED_OK) {
        got_through += seen >= k; /* it can do without */
        return 0;
    }
    if (seen < k || (status != NESTED_E_NOMEM && status != NESTED_E_LIMIT))
        fprintf(stderr, "%s, %s %d%s:\n", function, kinds[kind], k, onward ? " and all after it" : "");
    CHECK(seen >= k);
    if (status == NESTED_E_LIMIT) FAILS(NESTED_E_LIMIT, status); /* no thread for a context */
    else FAILS(NESTED_E_NOMEM, status);
    failures++;
    return 1;
}

/* The first 200, then samples; fewer where all later ones fail as well. */
static int next(int k, int forever) { return k < (forever ? 20 : 200) ? k + 1 : k + 1 + k / 5; }

/* Calls that do everything or nothing. */
static void whole(tour *t, const tour_step *step)
{
    uint64_t before = tour_hash(t);
    int which, forever, k;
    for (which = 0; which < N_KINDS; which++)
        for (forever = 0; forever < 2; forever++)
            for (k = 1;; k = next(k, forever)) {
                int64_t handles = nested_live_handles(NESTED_HANDLE_ANY);
                int enough = !ran_out(without(which, k, forever, t, step->go), step->function, k);
                uint64_t after = tour_hash(t);
                if (!enough && after != before)
                    fprintf(stderr, "%s, %s %d: something changed\n", step->function, kinds[which], k);
                CHECK(enough || after == before);
                before = after;
                CHECK(nested_live_handles(NESTED_HANDLE_ANY) == handles);
                if (seen < k) break;
                if (k % 10 == 0) {
                    OK(step->go(t)); /* memory is back */
                    before = tour_hash(t);
                }
            }
}

/* Calls that commit in pieces: what a failed call has done and what is done after it add up to the whole. */
static int64_t committed;

static nested_status feed(tour *t)
{
    nested_feed out;
    nested_status status;
    NESTED_INIT(out);
    status = nested_session_feed(t->session, t->text + committed, (size_t)(TOUR_TOKENS - committed), NULL, NULL, &out);
    committed += out.n_consumed;
    return status;
}

static nested_status generate(tour *t)
{
    size_t count = 0;
    nested_status status = nested_session_generate(t->session, NULL, (size_t)(24 - committed), NULL, NULL, NULL, NULL, &count, NULL);
    committed += (int64_t)count;
    return status;
}

static nested_status feed_both(tour *t)
{
    nested_session *list[2];
    size_t count = 0;
    nested_status status;
    list[0] = t->session;
    list[1] = t->second;
    status = nested_sessions_feed(list + committed, (size_t)(2 - committed), t->text + committed, NULL, NULL, &count);
    committed += (int64_t)count;
    return status;
}

static nested_status feed_vectors(tour *t)
{
    nested_cview inputs = tour_inputs(t, 2, committed);
    nested_feed out;
    nested_status status;
    NESTED_INIT(out);
    status = nested_session_feed_vectors(t->vectors, &inputs, NULL, NULL, &out);
    committed += out.n_consumed;
    return status;
}

static nested_status teach(tour *t)
{
    nested_eval out;
    nested_status status;
    NESTED_INIT(out);
    status = tour_teach(t, committed, &out);
    committed += (int64_t)out.n_targets;
    return status;
}

static nested_status fit(tour *t)
{
    nested_fit out;
    nested_status status;
    NESTED_INIT(out);
    status = nested_trainer_fit(t->trainer, t->text, TOUR_TOKENS, 3 - committed, 2, 16, NULL, &out);
    committed += (int64_t)out.n_steps;
    return status;
}

static void pieces(tour *t, const char *name, nested_status (*go)(tour *), int64_t total)
{
    uint64_t wanted = 0;
    int which, forever, k;
    /* The first round shows what comes out when nothing fails. */
    for (which = 0; which < N_KINDS; which++)
        for (forever = 0; forever < 2; forever++)
            for (k = wanted == 0 ? 1 << 30 : 1;; k = next(k, forever)) {
                int enough;
                OK(nested_model_params_set(t->model, t->params, t->n_params));
                OK(nested_session_restore(t->session, t->snapshot));
                OK(nested_session_restore(t->second, t->snapshot));
                OK(nested_session_restore(t->vectors, t->blank));
                OK(nested_trainer_load(t->trainer, t->trainer_file, NULL));
                committed = 0;
                enough = !ran_out(without(which, k, forever, t, go), name, k);
                if (!enough && committed < total) OK(go(t));
                if (wanted == 0) {
                    wanted = tour_hash(t);
                    k = 0;
                    continue;
                }
                if (tour_hash(t) != wanted) fprintf(stderr, "%s, %s %d: does not add up\n", name, kinds[which], k);
                CHECK(tour_hash(t) == wanted);
                if (seen < k) break;
            }
}

/* The tour without failures, and the tensor memory that it leaves in use: objects and the context's workspaces. */
static uint64_t settled(tour *t)
{
    nested_memory_stats stats;
    int i;
    OK(nested_session_restore(t->second, t->snapshot));
    OK(nested_session_feed(t->second, t->text, 1, NULL, NULL, NULL)); /* has panels of its levels from now on */
    for (i = 0; i < TOUR_LENGTH; i++) OK(tour_steps[i].go(t));
    NESTED_INIT(stats);
    OK(nested_context_memory(t->context, &stats));
    return stats.in_use;
}

int main(void)
{
    static const struct {
        const char *function;
        nested_status (*go)(tour *);
        int64_t total;
    } in_pieces[] = {{"nested_session_feed", feed, TOUR_TOKENS}, {"nested_session_generate", generate, 24},
                     {"nested_session_feed_vectors", feed_vectors, 6}, {"nested_session_teach", teach, 2},
                     {"nested_sessions_feed", feed_both, 2}, {"nested_trainer_fit", fit, 3}};
    enum { N_PIECES = sizeof in_pieces / sizeof *in_pieces };
    tour t;
    uint64_t before;
    int i, j;
    tour_open(&t, 1);
    (void)settled(&t);
    before = settled(&t);
    for (i = 0; i < TOUR_LENGTH; i++) {
        for (j = 0; j < N_PIECES && strcmp(tour_steps[i].function, in_pieces[j].function) != 0; j++) continue;
        if (j < N_PIECES) pieces(&t, in_pieces[j].function, in_pieces[j].go, in_pieces[j].total);
        else whole(&t, &tour_steps[i]);
    }
    CHECK(settled(&t) <= before);
    CHECK(failures > 1000);
    tour_close(&t);
    remove_scratch();
    return done();
}
