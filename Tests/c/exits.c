/* The host ends when it likes: every way of ending a process, with other threads in the middle of calls on every kind of object, from
 * the main thread, from another, from each callback, from an exit handler that calls the library. The exit status is the host's, no
 * signal, no hang, nothing printed. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static nested_context *context;
static nested_model *model, *other;
static nested_trainer *trainer;
static int32_t text[4000];

static void *feeding(void *unused)
{
    nested_session *session = make_session(model, NESTED_LEARN_ON);
    (void)unused;
    for (;;)
        if (nested_session_feed(session, text, 4000, NULL, NULL, NULL) != NESTED_OK) break;
    return NULL;
}

static void *training(void *user)
{
    while (nested_trainer_fit((nested_trainer *)user, text, 4000, 1000, 4, 64, NULL, NULL) == NESTED_OK) continue;
    return NULL;
}

static void *making(void *unused)
{
    (void)unused;
    for (;;) {
        nested_context *c = make_context(3);
        nested_model *m = make_model(c, 1);
        nested_model_release(m);
        nested_context_release(c);
    }
    return NULL;
}

static void make(void)
{
    fill_tokens(text, 4000, 3);
    context = make_context(3);
    model = make_model(context, 1);
    other = make_model(context, 2);
    OK(nested_trainer_create(other, NULL, 0, &trainer));
}

static void work(void)
{
    void *(*const bodies[])(void *) = {feeding, feeding, training, making};
    pthread_t thread;
    size_t i;
    for (i = 0; i < sizeof bodies / sizeof *bodies; i++) CHECK(pthread_create(&thread, NULL, bodies[i], trainer) == 0);
    usleep(15000);
}

static void release_at_exit(void)
{
    nested_trainer_release(trainer);
    nested_model_release(other);
    nested_model_release(model);
    nested_context_release(context);
}

static void use_at_exit(void)
{
    nested_session *session = NULL;
    if (nested_session_create(model, NULL, &session) != NESTED_OK) _exit(3);
    if (nested_session_feed(session, text, 100, NULL, NULL, NULL) != NESTED_OK) _exit(4);
    release_at_exit();
}

static void *exit_elsewhere(void *unused)
{
    (void)unused;
    exit(42);
}

static int quick;
static void leave(void)
{
    if (quick) _exit(42);
    exit(42);
}
static int32_t exit_in_progress(void *user, const nested_progress *p)
{
    (void)user;
    if (p->done > 0) leave();
    return 0;
}
static int32_t exit_in_token(void *user, const nested_token_event *event)
{
    (void)user;
    (void)event;
    leave();
    return 0;
}
static int32_t exit_in_reduce(void *user, void *data, size_t count, int32_t dtype)
{
    (void)user;
    (void)data;
    (void)count;
    (void)dtype;
    leave();
    return 0;
}
static void exit_in_log(void *user, const nested_log_record *record)
{
    (void)user;
    (void)record;
    leave();
}

static void by_callback(int which)
{
    nested_session *session = make_session(model, NESTED_LEARN_ON);
    nested_model *mine = make_model(context, 3);
    nested_run run;
    NESTED_INIT(run);
    run.progress = exit_in_progress;
    OK(nested_trainer_create(mine, NULL, 0, &trainer));
    if (which == 0) OK(nested_session_feed(session, text, 4000, &run, NULL, NULL));
    if (which == 1) OK(nested_trainer_fit(trainer, text, 4000, 10, 2, 32, &run, NULL));
    if (which == 2) {
        OK(nested_session_feed(session, text, 1, NULL, NULL, NULL));
        OK(nested_session_generate(session, NULL, 5, exit_in_token, NULL, NULL, NULL, NULL, NULL));
    }
    if (which == 3) {
        OK(nested_trainer_set_allreduce(trainer, exit_in_reduce, NULL, 0));
        OK(nested_trainer_fit(trainer, text, 4000, 10, 2, 32, NULL, NULL));
    }
    if (which == 4) {
        nested_context_options options;
        nested_context *loud = NULL;
        NESTED_INIT(options);
        options.log_level = NESTED_LOG_INFO;
        options.log = exit_in_log;
        OK(nested_context_create(&options, &loud));
    }
    _exit(1);
}

enum { PLAIN, QUICK, UNDERSCORE, RETURNED_THREAD, RELEASING, USING, ELSEWHERE, CALLBACKS = 10, N_WAYS = CALLBACKS + 10 };

static void end(int way)
{
    pthread_t thread;
    switch (way) {
    case PLAIN: exit(42);
    case QUICK: quick_exit(42);
    case UNDERSCORE: _exit(42);
    case RETURNED_THREAD: /* the main thread ends first */
        CHECK(pthread_create(&thread, NULL, exit_elsewhere, NULL) == 0);
        pthread_exit(NULL);
    case RELEASING:
        CHECK(atexit(release_at_exit) == 0);
        exit(42);
    case USING:
        CHECK(atexit(use_at_exit) == 0);
        exit(42);
    case ELSEWHERE:
        CHECK(pthread_create(&thread, NULL, exit_elsewhere, NULL) == 0);
        pause();
        break;
    default:
        quick = way >= CALLBACKS + 5;
        by_callback((way - CALLBACKS) % 5);
    }
}

int main(void)
{
    int way, busy, pipes[2];
    char byte;
    CHECK(pipe(pipes) == 0 && fcntl(pipes[0], F_SETFL, O_NONBLOCK) == 0);
    for (way = 0; way < N_WAYS; way++) {
        if (way > ELSEWHERE && way < CALLBACKS) continue;
        for (busy = 0; busy < 2; busy++) {
            pid_t child = fork();
            int status = 0;
            CHECK(child >= 0);
            if (child == 0) {
                alarm(15);
                CHECK(dup2(pipes[1], 1) == 1 && dup2(pipes[1], 2) == 2);
                make();
                if (busy) work();
                end(way);
                _exit(2);
            }
            CHECK(waitpid(child, &status, 0) == child);
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
                fprintf(stderr, "way %d, %s: status %#x\n", way, busy ? "busy" : "idle", (unsigned)status);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
            CHECK(read(pipes[0], &byte, 1) < 0);
        }
    }
    return done();
}
