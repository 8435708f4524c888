/*
 * 07: labels arrive one after another; a session learns them, forgets, and is reminded.
 *
 * New here: kind "cms" and task "classify", inputs and labels of nested_batch, nested_session_teach,
 * nested_session_predict, nested_session_info.n_outputs, the head as a level.
 *
 *     cc -std=c11 -I ../../include 07_continual_classification.c -lnested -o 07 && ./07
 */
#include <nested.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOTS = 35, MOST = 300 };

static const char *const glyphs[5] = {         /* five by seven dots */
    ".###.#...##...##...##...##...#.###.", "..#...##....#....#....#....#...###.",
    ".###.#...#....#...#...#...#...#####", ".###.#...#....#..##.....##...#.###.",
    "...#...##..#.#.#..#.#####...#....#."};

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

static uint64_t state;

static double chance(void)                     /* uniform in [0, 1) */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* Rows and their labels; a batch points at the two views. */
typedef struct drawings {
    float dots[MOST * DOTS];
    int64_t labels[MOST];
    nested_cview inputs_view, labels_view;
    nested_batch batch;
} drawings;

/* n digits from `from` to `to` in a shaky hand: about one dot in sixteen is wrong, all are blurred. */
static void draw(drawings *d, int from, int to, int n, uint64_t seed)
{
    int i, j;
    state = seed;
    for (i = 0; i < n; i++) {
        d->labels[i] = from + (int)(chance() * (to - from + 1));
        for (j = 0; j < DOTS; j++) {
            int dot = (glyphs[d->labels[i]][j] == '#') ^ (chance() < 1.0 / 16);
            d->dots[i * DOTS + j] = (float)(2 * dot - 1 + (chance() - 0.5));
        }
    }
    memset(&d->inputs_view, 0, sizeof d->inputs_view);
    memset(&d->labels_view, 0, sizeof d->labels_view);
    d->inputs_view.data = d->dots;
    d->inputs_view.dtype = NESTED_F32;
    d->inputs_view.ndim = 3;                   /* [n_seq, seq_len, n_inputs] */
    d->inputs_view.shape[0] = n;
    d->inputs_view.shape[1] = 1;
    d->inputs_view.shape[2] = DOTS;
    d->labels_view.data = d->labels;
    d->labels_view.dtype = NESTED_I64;
    d->labels_view.ndim = 1;                   /* [n_seq]: one for the whole row */
    d->labels_view.shape[0] = n;
    NESTED_INIT(d->batch);
    d->batch.n_seq = n;
    d->batch.seq_len = 1;
    d->batch.inputs = &d->inputs_view;
    d->batch.labels = &d->labels_view;
}

/* Which share of the drawings the session recognises; predicting changes nothing. */
static double share(const nested_session *session, const drawings *d)
{
    static float logits[MOST * 8];
    nested_session_info info;
    nested_view view;
    int64_t i, j, right = 0;
    NESTED_INIT(info);
    check(nested_session_get_info(session, &info));
    memset(&view, 0, sizeof view);
    view.data = logits;
    view.dtype = NESTED_F32;
    view.ndim = 2;
    view.shape[0] = d->batch.n_seq;
    view.shape[1] = info.n_outputs;
    check(nested_session_predict(session, &d->batch, NULL, &view));
    for (i = 0; i < d->batch.n_seq; i++) {
        const float *row = logits + i * info.n_outputs;
        int64_t best = 0;
        for (j = 1; j < info.n_outputs; j++)
            if (row[j] > row[best]) best = j;
        right += best == d->labels[i];
    }
    return (double)right / (double)d->batch.n_seq;
}

static drawings old_ones, new_ones, lesson;

static void tell(const char *what, const nested_session *session, double shares[2])
{
    nested_session_info info;
    NESTED_INIT(info);
    check(nested_session_get_info(session, &info));
    shares[0] = share(session, &old_ones);
    shares[1] = share(session, &new_ones);
    printf("%-34s %d labels %8.2f %8.2f\n", what, (int)info.n_outputs, shares[0], shares[1]);
}

int main(void)
{
    static const char config_text[] =
        "{\"kind\": \"cms\", \"task\": \"classify\", \"inputs\": 35, \"classes\": 3, \"d_model\": 32,"
        " \"cms\": {\"levels\": [{\"chunk\": 8, \"hidden\": 32}, {\"chunk\": 64, \"hidden\": 32}]}}";
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_session *session = NULL;
    nested_model_info shape;
    nested_eval first, again;
    nested_level level;
    double before[2], taught[2], forgot[2], reminded[2];
    int l;

    draw(&old_ones, 0, 2, 200, 1);
    draw(&new_ones, 3, 4, 200, 2);
    check(nested_context_create(NULL, &context));
    check(nested_config_from_json(config_text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &model));
    check(nested_session_create(model, NULL, &session));
    NESTED_INIT(shape);
    check(nested_model_get_info(model, &shape));

    printf("%43s %8s %8s\n", "", "0 1 2", "3 4");
    tell("before", session, before);

    /* Teaching learns each drawing once. What it returns is how well each was known before that. */
    NESTED_INIT(first);
    draw(&lesson, 0, 2, 300, 3);
    check(nested_session_teach(session, &lesson.batch, NULL, &first));
    tell("taught 0, 1, 2", session, taught);

    /* Two more labels arrive: the head grows by a row for each, and what it does not see it forgets. */
    draw(&lesson, 3, 4, 300, 4);
    check(nested_session_teach(session, &lesson.batch, NULL, NULL));
    tell("taught 3, 4, nothing of 0, 1, 2", session, forgot);

    /* Some of everything brings it back. */
    NESTED_INIT(again);
    draw(&lesson, 0, 4, 100, 5);
    check(nested_session_teach(session, &lesson.batch, NULL, &again));
    tell("reminded by 20 of each", session, reminded);
    printf("known in use: %.2f of the first lesson, %.2f of the last\n", first.accuracy, again.accuracy);

    /* The head is a level of its own, after the last layer. */
    NESTED_INIT(level);
    for (l = 0; l <= shape.n_levels; l++) {
        int head = l == shape.n_levels;
        check(nested_session_level(session, head ? shape.n_layers : 0, head ? 0 : l, &level));
        printf("  %s, chunk %2d: %3d updates, moved by %.3f\n", head ? "the head" : "a level ", (int)level.chunk,
               (int)level.n_updates, level.delta_norm);
    }

    nested_session_release(session);
    nested_model_release(model);
    nested_config_release(config);
    nested_context_release(context);
    return first.accuracy > 0.7 && taught[0] > 0.9 && taught[1] == 0 && forgot[1] > 0.9 && reminded[0] > forgot[0] &&
                   reminded[0] > 0.8 && reminded[1] > 0.8 ? 0 : 1;
}
