/* Rule R1: memory that runs out is a status. A child lives through the same program with less and less address space;
 * every call must answer E_NOMEM (or do its work), with words, and what was made before must be released. */
#include "check.h"

#include <sys/resource.h>
#include <sys/wait.h>

static int32_t text[64];

static size_t address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* 0 = all done, 1 = refused somewhere, 2 = wrong. */
static int allowed(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return 0;
    NESTED_INIT(e);
    if (nested_last_error(&e) != NESTED_OK || e.status != status || e.message[0] == '\0') return 2;
    return status == NESTED_E_NOMEM || status == NESTED_E_LIMIT || status == NESTED_E_IO ? 1 : 2;
}

static int life(int threads)
{
    nested_context_options options;
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *model = NULL, *copy = NULL;
    nested_trainer *trainer = NULL;
    nested_session *session = NULL, *fork = NULL;
    nested_snapshot *snapshot = NULL;
    nested_blob *blob = NULL;
    nested_batch batch = make_batch(text, 2, 32);
    int worst = 0, i;
    NESTED_INIT(options);
    options.n_threads = threads;
#define TRY(call) \
    do { \
        int answer = allowed(call); \
        worst = answer > worst ? answer : worst; \
    } while (0)
    TRY(nested_context_create(&options, &context));
    TRY(nested_config_from_json(small_config, NESTED_NUL_TERMINATED, &config));
    if (context != NULL && config != NULL) TRY(nested_model_create(context, config, 1, &model));
    if (model != NULL) {
        TRY(nested_trainer_create(model, NULL, 0, &trainer));
        for (i = 0; i < 3 && trainer != NULL; i++) TRY(nested_trainer_step(trainer, &batch, NULL, NULL));
        TRY(nested_session_create(model, NULL, &session));
        TRY(nested_model_clone(model, &copy));
        TRY(nested_model_save_blob(model, 0, &blob));
    }
    if (session != NULL) {
        TRY(nested_session_set_learn(session, NESTED_LEARN_ON));
        for (i = 0; i < 3; i++) TRY(nested_session_feed(session, text, 20, NULL, NULL, NULL));
        TRY(nested_session_fork(session, &fork));
        TRY(nested_session_snapshot(session, &snapshot));
    }
    nested_blob_release(blob);
    nested_snapshot_release(snapshot);
    nested_session_release(fork);
    nested_session_release(session);
    nested_trainer_release(trainer);
    nested_model_release(copy);
    nested_model_release(model);
    nested_config_release(config);
    nested_context_release(context);
    return nested_live_handles(NESTED_HANDLE_ANY) == 0 ? worst : 2;
}

int main(void)
{
    size_t room, refused = 0, through = 0;
    fill_tokens(text, 64, 4);
    for (room = 0; room <= (96u << 20); room += room < (8u << 20) ? 256u << 10 : 4u << 20) {
        pid_t child = fork();
        int status = 0;
        CHECK(child >= 0);
        if (child == 0) {
            struct rlimit limit;
            int answer;
            limit.rlim_cur = limit.rlim_max = address_space() + room;
            if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(9);
            alarm(20);
            answer = life(room / (256u << 10) % 2 ? 2 : 1);
            _exit(answer);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
            fprintf(stderr, "with %zu KiB: status %#x\n", room >> 10, (unsigned)status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        if (WEXITSTATUS(status) == 1) refused++;
        else through++;
    }
    CHECK(refused > 0 && through > 0);
    return done();
}
