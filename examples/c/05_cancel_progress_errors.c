/*
 * 05: watch a long call, stop it from elsewhere, and read its errors; what failed is as it was.
 *
 * New here: nested_run with progress and cancel, nested_cancel_create, nested_cancel_raise (from another thread and from
 * a signal handler), nested_error with its status, place and offset.
 *
 *     cc -std=c11 -I ../../include 05_cancel_progress_errors.c -lnested -lpthread -o 05 && ./05
 */
#define _POSIX_C_SOURCE 200809L
#include <nested.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 400000

static nested_cancel *stop; /* a flag that any thread may raise */
static sem_t at_work;

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

/* The call has to fail like this. Prints what the library says. */
static void expect(nested_status wanted, nested_status got)
{
    nested_error e;
    NESTED_INIT(e);
    if (got != wanted || nested_last_error(&e) != NESTED_OK) {
        fprintf(stderr, "wanted %s, got %s\n", nested_status_name(wanted), nested_status_name(got));
        exit(1);
    }
    printf("  %s: %s", nested_status_name(got), e.message);
    if (e.place[0] != '\0') printf(" [at %s]", e.place);
    if (e.offset >= 0) printf(" [byte %lld]", (long long)e.offset);
    if (e.os_error != 0) printf(" [errno %d]", (int)e.os_error);
    printf("\n");
}

/* Progress runs on the thread that made the call, between pieces of work: 0 = go on, > 0 = stop. */
static int32_t five_steps(void *user, const nested_progress *p)
{
    printf("  %s %llu of %llu, loss %.2f\n", p->stage, (unsigned long long)p->done, (unsigned long long)p->total, p->loss);
    return p->done >= *(const uint64_t *)user;
}

static int32_t tell_the_other_thread(void *user, const nested_progress *p)
{
    (void)user;
    if (p->done > 0) sem_post(&at_work);
    return 0;
}

static void *other_thread(void *unused)
{
    while (sem_wait(&at_work) != 0) {}
    check(nested_cancel_raise(stop));
    return unused;
}

static int32_t press_ctrl_c(void *user, const nested_progress *p)
{
    (void)user;
    if (p->done > 0) raise(SIGINT);
    return 0;
}

static void on_interrupt(int number)
{
    (void)number;
    (void)nested_cancel_raise(stop); /* async-signal-safe */
}

int main(void)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog. ";
    static int32_t tokens[LENGTH];
    static float output[256], twin_output[256];
    const int32_t wrong[] = {'a', 'b', 256};
    const uint64_t five = 5;
    nested_context *context = NULL;
    nested_config *config = NULL, *none = NULL;
    nested_model *model = NULL, *missing = NULL;
    nested_trainer *trainer = NULL;
    nested_session *session = NULL, *twin = NULL;
    nested_session_info info;
    nested_run run;
    nested_fit fit;
    nested_feed fed;
    pthread_t thread;
    size_t count, i;
    int same;

    for (i = 0; i < LENGTH; i++) tokens[i] = text[i % (sizeof text - 1)];
    NESTED_INIT(fit);
    NESTED_INIT(fed);
    NESTED_INIT(info);
    check(nested_context_create(NULL, &context));
    check(nested_config_from_json("{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2}",
                                  NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &model));
    check(nested_trainer_create(model, NULL, 0, &trainer));
    check(nested_cancel_create(&stop));

    printf("a progress callback stops the training after five steps:\n");
    NESTED_INIT(run);
    run.progress = five_steps;
    run.user = (void *)&five;
    expect(NESTED_E_CANCELLED, nested_trainer_fit(trainer, tokens, LENGTH, 100000, 4, 32, &run, &fit));
    printf("  %llu steps were made, and stay\n", (unsigned long long)fit.n_steps);
    if (fit.n_steps != 5) return 1;
    nested_trainer_release(trainer);
    check(nested_session_create(model, NULL, &session));

    printf("another thread stops a session that reads %d bytes:\n", LENGTH);
    if (sem_init(&at_work, 0, 0) != 0 || pthread_create(&thread, NULL, other_thread, NULL) != 0) return 1;
    NESTED_INIT(run);
    run.progress = tell_the_other_thread;
    run.cancel = stop;
    expect(NESTED_E_CANCELLED, nested_session_feed(session, tokens, LENGTH, &run, NULL, &fed));
    pthread_join(thread, NULL);
    printf("  %lld bytes were read\n", (long long)fed.n_consumed);

    printf("Ctrl-C stops it too:\n");
    check(nested_cancel_clear(stop));
    signal(SIGINT, on_interrupt);
    run.progress = press_ctrl_c;
    expect(NESTED_E_CANCELLED, nested_session_feed(session, tokens + fed.n_consumed, (size_t)(LENGTH - fed.n_consumed),
                                                   &run, NULL, NULL));

    /* What was read is a clean prefix: a session that reads just that says the same. */
    check(nested_session_get_info(session, &info));
    check(nested_session_create(model, NULL, &twin));
    check(nested_session_feed(twin, tokens, (size_t)info.position, NULL, NULL, NULL));

    printf("errors say what and where:\n");
    expect(NESTED_E_CONFIG, nested_config_from_json("{\"vocab\": 256, \"d_modell\": 64}", NESTED_NUL_TERMINATED, &none));
    expect(NESTED_E_PARSE, nested_config_from_json("{\"vocab\": }", NESTED_NUL_TERMINATED, &none));
    expect(NESTED_E_RANGE, nested_session_feed(session, wrong, 3, NULL, NULL, NULL));
    expect(NESTED_E_IO, nested_model_load(context, "missing.safetensors", 0, NULL, &missing));
    expect(NESTED_E_HANDLE, nested_session_reset((nested_session *)model));

    /* And leave everything as it was. */
    check(nested_session_output(session, output, 256, &count));
    check(nested_session_output(twin, twin_output, 256, &count));
    same = memcmp(output, twin_output, sizeof output) == 0 && none == NULL && missing == NULL;
    printf("after all that the session says what one says that read %lld bytes in peace: %s\n", (long long)info.position,
           same ? "yes" : "no");

    nested_cancel_release(stop);
    nested_session_release(twin);
    nested_session_release(session);
    nested_model_release(model);
    nested_config_release(config);
    nested_context_release(context);
    return same ? 0 : 1;
}
