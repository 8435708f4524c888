/* Rule R1: small stacks, the floating-point environment, signals, working directory, umask, standard output, memory
 * limits. What the library does to its host: nothing. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
static unsigned float_state(void) { return _mm_getcsr(); }
static void odd_float_state(void) { _mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x6000u); } /* round toward zero */
static void usual_float_state(void) { _mm_setcsr(0x1f80); }
#else
static unsigned float_state(void) { return 0; }
static void odd_float_state(void) {}
static void usual_float_state(void) {}
#endif

static int32_t text[200];

static int32_t state_in_callback(void *user, const nested_progress *p)
{
    (void)p;
    CHECK((float_state() & ~0x3fu) == *(unsigned *)user);
    return 0;
}

/* The whole life of everything; `logits` gets the session's last output. */
static void everything(int threads, float *logits)
{
    nested_context *context = make_context(threads);
    nested_model *model = make_model(context, 1), *merged = NULL, *copy = NULL;
    nested_trainer *trainer = NULL;
    nested_batch batch = make_batch(text, 2, 40);
    nested_session *session;
    nested_blob *blob = NULL;
    nested_snapshot *snapshot = NULL;
    nested_fit fit;
    nested_run run;
    size_t count = 0;
    unsigned floats = float_state() & ~0x3fu;
    NESTED_INIT(fit);
    NESTED_INIT(run);
    run.progress = state_in_callback;
    run.user = &floats;
    OK(nested_trainer_create(model, "{\"lr\":0.01}", NESTED_NUL_TERMINATED, &trainer));
    OK(nested_trainer_step(trainer, &batch, &run, NULL));
    OK(nested_trainer_fit(trainer, text, 200, 2, 2, 16, &run, &fit));
    session = make_session(model, NESTED_LEARN_ON);
    OK(nested_session_feed(session, text, 100, &run, NULL, NULL));
    OK(nested_session_generate(session, NULL, 10, NULL, NULL, &run, NULL, &count, NULL));
    OK(nested_session_score(session, text, 20, &run, NULL, NULL));
    OK(nested_session_output(session, logits, VOCAB, &count));
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &blob));
    nested_blob_release(blob);
    OK(nested_session_restore(session, snapshot));
    OK(nested_model_save_blob(model, 0, &blob));
    OK(nested_model_load_bytes(context, nested_blob_data(blob), nested_blob_size(blob), 0, &copy));
    OK(nested_model_consolidate(model, (const nested_session *const *)&session, 1, NULL, &run, &merged));
    nested_blob_release(blob);
    nested_snapshot_release(snapshot);
    nested_session_release(session);
    nested_trainer_release(trainer);
    nested_model_release(merged);
    nested_model_release(copy);
    nested_model_release(model);
    {
        nested_memory_stats stats;
        NESTED_INIT(stats);
        OK(nested_context_memory(context, &stats));
        CHECK(stats.peak > 0);
    }
    nested_context_release(context);
}

static float usual[VOCAB], small[VOCAB], odd[VOCAB];

static void *on_small_stack(void *unused)
{
    (void)unused;
    everything(1, small);
    everything(2, small);
    return NULL;
}

static void small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, on_small_stack, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    CHECK(same(usual, small, sizeof usual));
}

static void float_environment(void)
{
    unsigned before;
    odd_float_state();
    before = float_state();
    everything(2, odd);
    CHECK((float_state() & ~0x3fu) == (before & ~0x3fu));
    usual_float_state();
    CHECK(same(usual, odd, sizeof usual));
}

static void on_tick(int signal) { (void)signal; }

/* A signal every millisecond changes nothing and interrupts nothing. */
static void signals(void)
{
    struct sigaction action;
    struct itimerval timer;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_tick;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    memset(&timer, 0, sizeof timer);
    timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    everything(2, odd);
    memset(&timer, 0, sizeof timer);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(same(usual, odd, sizeof usual));
}

static void memory_limits(void)
{
    nested_context_options options;
    nested_config *config = make_config(small_config);
    nested_memory_stats stats;
    uint64_t limit;
    int refused = 0, made = 0;
    NESTED_INIT(options);
    NESTED_INIT(stats);
    options.n_threads = 1;
    for (limit = 4096; limit < (16u << 20) && made < 3; limit *= 2) {
        nested_context *context = NULL;
        nested_model *model = NULL;
        nested_session *session = NULL;
        nested_status status;
        options.memory_limit = limit;
        OK(nested_context_create(&options, &context));
        status = nested_model_create(context, config, 1, &model);
        if (status == NESTED_OK) status = nested_session_create(model, NULL, &session);
        if (status == NESTED_OK) status = nested_session_feed(session, text, 30, NULL, NULL, NULL);
        if (status == NESTED_OK) made++;
        else {
            refused++;
            FAILS(NESTED_E_LIMIT, status);
        }
        OK(nested_context_memory(context, &stats));
        CHECK(stats.limit == limit && stats.peak <= limit && stats.in_use <= stats.peak);
        nested_session_release(session);
        nested_model_release(model);
        nested_context_release(context);
    }
    CHECK(refused > 0 && made > 0);
    nested_config_release(config);
}

/* Once warm, a streamed token allocates no tensor memory, and a session that learns does not grow. */
static void steady(void)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    int learn, i;
    for (learn = NESTED_LEARN_MEMORY; learn <= NESTED_LEARN_ON; learn++) {
        nested_session *session = make_session(model, learn);
        nested_memory_stats warm, later;
        NESTED_INIT(warm);
        NESTED_INIT(later);
        for (i = 0; i < 160; i++) OK(nested_session_feed(session, text + i, 1, NULL, NULL, NULL));
        OK(nested_context_memory(context, &warm));
        for (i = 0; i < 160; i++) OK(nested_session_feed(session, text + i, 1, NULL, NULL, NULL));
        OK(nested_context_memory(context, &later));
        CHECK(later.in_use == warm.in_use);
        if (learn != NESTED_LEARN_ON) CHECK(later.n_allocations == warm.n_allocations);
        nested_session_release(session);
    }
    nested_model_release(model);
    nested_context_release(context);
}

int main(void)
{
    char before[4096], after[4096];
    struct sigaction actions[32], now;
    stack_t stack_before, stack_after;
    mode_t mask;
    int pipes[2], out = dup(1), err = dup(2), i;
    unsigned char byte;

    fill_tokens(text, 200, 17);
    CHECK(getcwd(before, sizeof before) != NULL && pipe(pipes) == 0 && fcntl(pipes[0], F_SETFL, O_NONBLOCK) == 0);
    for (i = 1; i < 32; i++) (void)sigaction(i, NULL, &actions[i]);
    CHECK(sigaltstack(NULL, &stack_before) == 0);
    mask = umask(027);
    check_output = fdopen(err, "w");
    CHECK(dup2(pipes[1], 1) == 1 && dup2(pipes[1], 2) == 2);

    everything(2, usual);
    small_stacks();
    float_environment();
    memory_limits();
    steady();

    CHECK(read(pipes[0], &byte, 1) < 0); /* not a byte to standard output or error */
    CHECK(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    CHECK(umask(mask) == 027);
    CHECK(getcwd(after, sizeof after) != NULL && strcmp(before, after) == 0);
    for (i = 1; i < 32; i++) {
        (void)sigaction(i, NULL, &now);
        CHECK(now.sa_handler == actions[i].sa_handler && now.sa_flags == actions[i].sa_flags);
    }
    CHECK(sigaltstack(NULL, &stack_after) == 0 && stack_before.ss_sp == stack_after.ss_sp);
    signals();
    return done();
}
