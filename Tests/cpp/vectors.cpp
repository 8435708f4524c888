// Vectors and labels: batches that own their views, teaching, predicting; what a configuration costs.
#include "check.hpp"

#include <algorithm>
#include <cmath>

static constexpr const char *classify_config =
    R"({"kind":"cms","task":"classify","inputs":3,"classes":2,"d_model":8,"cms":{"levels":[{"chunk":4},{"chunk":16}]}})";

int main() {
  {
    std::vector<float> inputs;
    std::vector<std::int64_t> labels;
    for (int i = 0; i < 200; i++) {
      for (int j = 0; j < 3; j++) inputs.push_back(std::sin(static_cast<float>(i * 3 + j) * 1.7f));
      const std::size_t at = inputs.size() - 3;
      labels.push_back(inputs[at] + inputs[at + 1] + inputs[at + 2] > 0);
    }
    const nested::context context = make_context();
    nested::model model(context, nested::config(classify_config), 1);
    const nested_model_info info = model.info();
    CHECK(info.kind == NESTED_KIND_CMS && info.task == NESTED_TASK_CLASSIFY && info.vocab == 0);
    CHECK(info.n_inputs == 3 && info.n_outputs == 2);

    // A batch points into itself, also as a copy of one that is gone.
    nested::batch rows(nested::view(inputs, {200, 3}));
    {
      nested::batch other(nested::view(inputs, {20, 10, 3}));
      other.labelled(nested::view(labels, {20, 10}));
      rows = other;
      CHECK(rows.inputs != other.inputs && rows.labels != other.labels);
    }
    CHECK(rows.n_seq == 20 && rows.seq_len == 10 && rows.labels->ndim == 2 && rows.inputs->data == inputs.data());
    CHECK(model.evaluate(rows).n_targets == 200);
    const nested::batch copy(nested::batch(nested::view(inputs, {200, 3})).labelled(nested::view(labels)));
    CHECK(copy.n_seq == 200 && copy.seq_len == 1 && copy.inputs->ndim == 3 && copy.inputs->shape[2] == 3);
    CHECK(model.evaluate(copy).n_targets == 200);
    FAILS(NESTED_E_SHAPE, nested::batch(nested::view(inputs)));
    FAILS(NESTED_E_SHAPE, nested::batch(nested::view(inputs, {200, 3})).labelled(nested::view(labels), std::vector<float>(7)));
    std::vector<float> weights(200);
    std::fill(weights.begin(), weights.begin() + 50, 1.0f);
    CHECK(model.evaluate(nested::batch(copy).labelled(nested::view(labels), weights)).n_targets == 50);

    // Strided: every second number of a wider array.
    std::vector<double> wide(200 * 6);
    for (std::size_t i = 0; i < 600; i++) wide[2 * i] = static_cast<double>(inputs[i]);
    nested_cview strided{wide.data(), NESTED_F64, 2, {200, 3}, {6 * sizeof(double), 2 * sizeof(double)}};
    std::vector<float> dense(400), sparse(400);
    model.forward(copy, nested::view(dense, {200, 2}));
    model.forward(nested::batch(strided), nested::view(sparse, {200, 2}));
    CHECK(dense == sparse);

    {
      nested::trainer trainer(model);
      CHECK(trainer.step(copy).applied == 1 && trainer.accumulate(copy).n_targets == 200);
    }
    nested::session session(model);
    const nested_eval first = session.teach(copy), again = session.teach(copy);
    CHECK(again.loss < first.loss && again.accuracy > 0.9 && session.info().position == 400);
    const std::vector<float> answers = session.predict(copy);
    CHECK(answers.size() == 400 && session.info().position == 400);
    const std::vector<std::int32_t> later(200, 4);
    session.teach(nested::batch(copy).labelled(nested::view(later)));
    CHECK(session.info().n_outputs == 5 && session.predict(copy).size() == 1000);
    CHECK(session.level(info.n_layers, 0).n_updates == 600);

    std::vector<float> outputs(50);
    const nested_view all = nested::view(outputs, {10, 5});
    const nested::span<const float> ten(inputs.data(), 30);
    const nested_feed fed = session.feed_vectors(nested::view(ten, {10, 3}), all);
    CHECK(fed.n_consumed == 10 && session.output() == std::vector<float>(outputs.end() - 5, outputs.end()));
    CHECK(session.feed_vectors(nested::view(nested::span<const float>(inputs.data(), 3), {1, 3})).n_consumed == 1);

    const nested::cancel stop;
    stop.raise();
    const nested::error cancelled = THROWS(nested::cancelled, session.teach(copy, stop));
    CHECK(cancelled.committed() == 0);

    // Costs, maps, checkpoints, stacks.
    const nested::config plain(R"({"kind":"transformer","vocab":32,"d_model":16,"n_layers":1})");
    nested::model base(context, plain, 1);
    CHECK(plain.estimate(2, 8).n_params == base.info().n_params);
    FAILS(NESTED_E_RANGE, plain.estimate(0, 8));
    const std::string path = (std::filesystem::temp_directory_path() / "nested-vectors-cpp.safetensors").string();
    base.save(path);
    CHECK(nested::model::load(context, path, NESTED_LOAD_MMAP).params() == base.params());
    std::filesystem::remove(path);
    const nested::model stacked = base.stack(R"({"levels":[{"chunk":8},{"chunk":32}]})", 1, 7);
    std::vector<float> before(4 * 32), after(4 * 32);
    const std::vector<std::int32_t> tokens{1, 2, 3, 4};
    base.forward({tokens, 1, 4}, nested::view(before, {1, 4, 32}));
    stacked.forward({tokens, 1, 4}, nested::view(after, {1, 4, 32}));
    CHECK(before == after && stacked.info().kind == NESTED_KIND_HOPE_ATTENTION && stacked.info().n_levels == 2);
    FAILS(NESTED_E_RANGE, (void)base.stack({}, 1));
    FAILS(NESTED_E_UNSUPPORTED, (void)model.stack());
    FAILS(NESTED_E_IO, (void)nested::model::from_checkpoint(context, "/nowhere/checkpoint"));
  }
  return done();
}
