/*
 * 04: one model, many streams: a thread and a session for each, all on the same weights.
 *
 * New here: nested_context_options, nested_session_create on a shared model from several threads, nested_sessions_feed,
 * nested_context_memory.
 *
 *     cc -std=c11 -I ../../include 04_many_sessions.c -lnested -lpthread -o 04 && ./04
 */
#include <nested.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS 4
#define LENGTH 600
#define VOCAB 256

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

/* What one user's stream is and comes to. */
typedef struct user {
    const nested_model *model;
    int32_t tokens[LENGTH];
    nested_session *session;
    double first, last; /* surprise of the first and of the last quarter */
    float output[VOCAB];
} user;

/* Every thread does this; the model is only read, so nothing needs a lock. */
static void *serve(void *argument)
{
    user *u = argument;
    nested_session_options options;
    nested_feed fed;
    size_t count;
    NESTED_INIT(options);
    NESTED_INIT(fed);
    options.learn = NESTED_LEARN_ON;
    check(nested_session_create(u->model, &options, &u->session));
    check(nested_session_feed(u->session, u->tokens, LENGTH / 4, NULL, NULL, &fed));
    u->first = fed.loss;
    check(nested_session_feed(u->session, u->tokens + LENGTH / 4, LENGTH / 2, NULL, NULL, NULL));
    check(nested_session_feed(u->session, u->tokens + LENGTH / 4 * 3, LENGTH / 4, NULL, NULL, &fed));
    u->last = fed.loss;
    check(nested_session_output(u->session, u->output, VOCAB, &count));
    return NULL;
}

int main(void)
{
    static const char config_text[] =
        "{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2, \"head_dim\": 32,"
        " \"cms\": {\"levels\": [{\"chunk\": 16, \"hidden\": 128, \"lr\": 0.05}, {\"chunk\": 0, \"hidden\": 128}]}}";
    static const char *const texts[USERS] = {
        "ann likes apples and pears. ", "ben likes trains & boats. ", "cid counts 1 2 3 4 5 6 7. ", "dot sings la la la! "};
    static user alone[USERS], together[USERS];
    static float logits[USERS * VOCAB], single[VOCAB];
    nested_context_options options;
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_session *sessions[USERS];
    nested_memory_stats memory;
    nested_view view;
    pthread_t threads[USERS];
    int32_t next[USERS];
    int u, i, same = 1;

    NESTED_INIT(options);
    options.n_threads = 2;                     /* the pool that all calls share */
    options.memory_limit = (uint64_t)200 << 20; /* for everything made from this context */
    check(nested_context_create(&options, &context));
    check(nested_config_from_json(config_text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &model));
    for (u = 0; u < USERS; u++) {
        for (i = 0; i < LENGTH; i++) alone[u].tokens[i] = texts[u][(size_t)i % strlen(texts[u])];
        alone[u].model = model;
        together[u] = alone[u];
    }

    /* One after another, and all at the same time. */
    for (u = 0; u < USERS; u++) serve(&alone[u]);
    for (u = 0; u < USERS; u++)
        if (pthread_create(&threads[u], NULL, serve, &together[u]) != 0) return 1;
    for (u = 0; u < USERS; u++) pthread_join(threads[u], NULL);
    printf("nats per byte  first quarter  last quarter\n");
    for (u = 0; u < USERS; u++) {
        printf("%.3s            %13.3f %13.3f\n", texts[u], together[u].first, together[u].last);
        same = same && memcmp(alone[u].output, together[u].output, sizeof logits / USERS) == 0;
    }
    printf("in threads and one after another, the same bits: %s\n", same ? "yes" : "no");

    /* The next byte for all of them in one call, as a server does it; each row is what the session alone would say. */
    memset(&view, 0, sizeof view);
    view.data = logits;
    view.dtype = NESTED_F32;
    view.ndim = 2;
    view.shape[0] = USERS;
    view.shape[1] = VOCAB;
    for (u = 0; u < USERS; u++) {
        sessions[u] = together[u].session;
        next[u] = alone[u].tokens[0];
    }
    check(nested_sessions_feed(sessions, USERS, next, NULL, &view, NULL));
    for (u = 0; u < USERS; u++) {
        size_t count;
        check(nested_session_feed(alone[u].session, next + u, 1, NULL, NULL, NULL));
        check(nested_session_output(alone[u].session, single, VOCAB, &count));
        same = same && memcmp(single, logits + u * VOCAB, sizeof single) == 0;
    }
    NESTED_INIT(memory);
    check(nested_context_memory(context, &memory));
    printf("as a batch, the same bits: %s\n%.1f MB in use for %d sessions and the weights\n", same ? "yes" : "no",
           (double)memory.in_use / 1e6, 2 * USERS);

    for (u = 0; u < USERS; u++) {
        nested_session_release(alone[u].session);
        nested_session_release(together[u].session);
    }
    nested_model_release(model);
    nested_config_release(config);
    nested_context_release(context);
    return same ? 0 : 1;
}
