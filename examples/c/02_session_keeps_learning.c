/*
 * 02: a session that reads something new gets better at it, while the model stays as it is.
 *
 * New here: nested_session_options and the three modes, nested_feed, nested_session_get_info,
 * nested_session_level, nested_session_level_reset, nested_session_score.
 *
 *     cc -std=c11 -I ../../include 02_session_keeps_learning.c -lnested -o 02 && ./02
 */
#include <nested.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD "one two three four five six seven eight nine ten. "
#define NEW "eins zwei drei vier sechs acht neun zehn elf! "

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

static void repeat(int32_t *tokens, size_t n, const char *text)
{
    size_t i, length = strlen(text);
    for (i = 0; i < n; i++) tokens[i] = text[i % length];
}

static nested_session *open_session(const nested_model *model, int32_t learn)
{
    nested_session_options options;
    nested_session *session = NULL;
    NESTED_INIT(options);
    options.learn = learn;
    check(nested_session_create(model, &options, &session));
    return session;
}

int main(void)
{
    static const char config_text[] =
        "{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2, \"head_dim\": 32,"
        " \"cms\": {\"levels\": [{\"chunk\": 16, \"hidden\": 128, \"lr\": 0.05},"
        " {\"chunk\": 128, \"hidden\": 128, \"lr\": 0.02}, {\"chunk\": 0, \"hidden\": 128}]}}";
    static const char *const modes[] = {"memory", "off", "on"};
    static const char training[] = "{\"schedule\": {\"type\": \"cosine\", \"warmup\": 20, \"total\": 150}}";
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_trainer *trainer = NULL;
    static int32_t old_text[4000], new_text[1024];
    double last[3];
    int32_t learn, good = 1;

    repeat(old_text, 4000, OLD);
    repeat(new_text, 1024, NEW);
    check(nested_context_create(NULL, &context));
    check(nested_config_from_json(config_text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &model));
    check(nested_trainer_create(model, training, NESTED_NUL_TERMINATED, &trainer));
    check(nested_trainer_fit(trainer, old_text, 4000, 150, 8, 64, NULL, NULL));
    nested_trainer_release(trainer);

    /* The same new text into three sessions: what is the surprise (nats per byte) of each quarter? */
    printf("%-8s %8s %8s %8s %8s\n", "learn", "1st", "2nd", "3rd", "4th quarter");
    for (learn = NESTED_LEARN_MEMORY; learn <= NESTED_LEARN_ON; learn++) {
        nested_session *session = open_session(model, learn);
        int quarter;
        printf("%-8s", modes[learn]);
        for (quarter = 0; quarter < 4; quarter++) {
            nested_feed fed;
            NESTED_INIT(fed);
            check(nested_session_feed(session, new_text + 256 * quarter, 256, NULL, NULL, &fed));
            printf(" %8.3f", fed.loss);
            last[learn] = fed.loss;
        }
        printf("\n");

        if (learn == NESTED_LEARN_ON) {
            nested_session_info info;
            nested_level level;
            double with, without;
            int32_t l;
            NESTED_INIT(info);
            check(nested_session_get_info(session, &info));
            printf("\nafter %lld bytes, %llu updates, %llu bytes of state of its own:\n", (long long)info.position,
                   (unsigned long long)info.n_updates, (unsigned long long)info.state_bytes);
            for (l = 0; l < 3; l++) {
                NESTED_INIT(level);
                check(nested_session_level(session, 0, l, &level));
                printf("  block 0, level %d, chunk %3lld: %2llu updates, moved by %.4f of %.2f\n", (int)l,
                       (long long)level.chunk, (unsigned long long)level.n_updates, level.delta_norm,
                       level.weight_norm);
            }
            /* Score does not teach. Reset forgets what the levels learned. */
            check(nested_session_score(session, new_text, 256, NULL, NULL, &with));
            check(nested_session_level_reset(session, -1, -1));
            check(nested_session_score(session, new_text, 256, NULL, NULL, &without));
            printf("log-probability of 256 bytes: %.1f with what the levels learned, %.1f without\n", with, without);
            good = with > without && last[learn] < last[NESTED_LEARN_OFF];
        }
        nested_session_release(session);
    }
    nested_config_release(config);
    nested_model_release(model);
    nested_context_release(context);
    return good ? 0 : 1;
}
