// Owning: moves, copies, any order, adoption; and contexts, configurations, models, tensors, files.
#include "check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

static_assert(std::is_copy_constructible_v<nested::context> && std::is_copy_assignable_v<nested::context>);
static_assert(std::is_copy_constructible_v<nested::model> && std::is_copy_constructible_v<nested::snapshot>);
static_assert(!std::is_copy_constructible_v<nested::session> && !std::is_copy_assignable_v<nested::session>);
static_assert(!std::is_copy_constructible_v<nested::trainer> && !std::is_copy_constructible_v<nested::config>);
static_assert(!std::is_copy_constructible_v<nested::cancel> && !std::is_copy_constructible_v<nested::blob>);
static_assert(std::is_nothrow_move_constructible_v<nested::model> && std::is_nothrow_move_assignable_v<nested::model>);
static_assert(std::is_nothrow_move_constructible_v<nested::trainer> && std::is_nothrow_move_assignable_v<nested::session>);

static void owning() {
  const auto alive = [](std::int32_t kind = NESTED_HANDLE_ANY) { return nested::live_handles(kind); };
  {
    nested::model a = make_model();
    CHECK(a && alive(NESTED_HANDLE_MODEL) == 1);
    nested::model same = a;  // NOLINT: a second reference is the point
    CHECK(same.native() == a.native() && alive(NESTED_HANDLE_MODEL) == 1);
    nested::model other = a.clone();
    CHECK(other.native() != a.native() && alive(NESTED_HANDLE_MODEL) == 2);

    // A change shows through every reference, and not in the clone.
    std::vector<float> weights = a.params();
    weights[0] += 1;
    a.set_params(weights);
    CHECK(same.params() == weights && other.params() != weights);

    // Moved from: holds nothing, answers with E_HANDLE, may be assigned.
    nested::model taken = std::move(a);
    CHECK(!a && a.native() == nullptr && taken.params() == weights);
    FAILS(NESTED_E_HANDLE, a.info());
    CHECK(a.tensor_count() == 0);
    FAILS(NESTED_E_HANDLE, nested::session{a});
    nested::model nothing = a;  // copying nothing is nothing
    CHECK(!nothing);
    a = other;
    CHECK(a.native() == other.native());
    a = *&a;  // itself
    CHECK(a.native() == other.native());
    a = std::move(taken);
    CHECK(a.params() == weights);
    other = a;
    CHECK(alive(NESTED_HANDLE_MODEL) == 1);  // the clone is gone
    // From C and back.
    nested_model *raw = nullptr;
    nested::check(nested_model_clone(a.native(), &raw));
    CHECK(nested::model(raw).params() == weights);
    CHECK(alive(NESTED_HANDLE_MODEL) == 1);
    nested::check(nested_model_clone(a.native(), other.out()));
    CHECK(other.native() != a.native() && alive(NESTED_HANDLE_MODEL) == 2);
    nested::check(nested_model_clone(a.native(), other.out()));  // out() lets go of the one before
    CHECK(alive(NESTED_HANDLE_MODEL) == 2);
  }
  CHECK(alive() == 0);

  // In any order.
  std::array<int, 5> order{0, 1, 2, 3, 4};
  do {
    std::optional<nested::context> context(make_context());
    std::optional<nested::model> model(std::in_place, *context, nested::config(small_config), 1);
    std::optional<nested::trainer> trainer(*model);
    std::optional<nested::session> session(*model);
    session->feed({1, 2, 3});
    std::optional<nested::snapshot> snapshot(session->snapshot());
    for (int which : order) {
      if (which == 0) context.reset();
      if (which == 1) model.reset();
      if (which == 2) trainer.reset();
      if (which == 3) session.reset();
      if (which == 4) snapshot.reset();
      if (session) CHECK(session->feed({1}).n_consumed == 1);
      if (snapshot) CHECK(snapshot->to_blob().size() > 0);
      if (trainer) CHECK(trainer->options().size() > 0);
    }
    CHECK(alive() == 0);
  } while (std::next_permutation(order.begin(), order.end()));

  // In containers, which move.
  nested::model model = make_model();
  std::vector<nested::session> sessions;
  for (std::uint64_t i = 0; i < 20; i++) sessions.emplace_back(model, NESTED_LEARN_MEMORY, i);
  sessions.erase(sessions.begin() + 3, sessions.begin() + 8);
  CHECK(sessions.size() == 15 && alive(NESTED_HANDLE_SESSION) == 15 && sessions[3].info().seed == 8);
  std::swap(sessions[0], sessions[1]);
  CHECK(sessions[0].info().seed == 1 && sessions[1].info().seed == 0);
}

static void contexts_and_configs() {
  nested::context_options options;
  options.n_threads = 1;
  options.memory_limit = 100 << 20;
  nested::context context(options);
  CHECK(context.memory().limit == 100 << 20);
  options.n_threads = -1;
  FAILS(NESTED_E_RANGE, nested::context{options});
  CHECK(nested::context().memory().limit == 0);

  nested::config config = nested::config::defaults();
  CHECK(config.get_int("/vocab") == 256);
  config.set("/vocab", 300).set("/n_layers", std::uint8_t{1}).set("/norm_eps", 0.5f);
  CHECK(config.get_int("/vocab") == 300 && config.get_int("/n_layers") == 1 && config.get_float("/norm_eps") == 0.5);
  config.set("/kind", "hope").set("/kind", std::string("hope")).set_json("/cms/levels/0", R"({"chunk":4,"hidden":16})");
  CHECK(config.json("/kind") == "\"hope\"" && config.get_int("/cms/levels/0/chunk") == 4);
  config.set("/tie_embeddings", false).validate();
  CHECK(config.json("/tie_embeddings") == "false");
  FAILS(NESTED_E_RANGE, config.set("/vocab", UINT64_MAX));
  FAILS(NESTED_E_NOT_FOUND, config.set("/no", 1));
  CHECK(nested::config(config.json()).json() == config.json());
  CHECK(std::string(nested::config::schema()).front() == '{');
}

static void models() {
  const scratch path;
  nested::context context = make_context();
  nested::model model(context, nested::config(small_config), 3);
  CHECK(model.info().vocab == vocab && model.info().n_layers == 2 && model.info().n_levels == 3);
  CHECK(model.architecture().json() == nested::config(model.architecture().json()).json());

  // Tensors, by index and by name.
  CHECK(model.tensor_count() == static_cast<std::int64_t>(model.info().n_tensors));
  const std::vector<float> all = model.params();
  for (std::int64_t i = 0; i < model.tensor_count(); i++) {
    const nested_tensor_info info = model.tensor_at(i);
    CHECK(model.tensor_find(info.name) == i);
    const std::vector<float> copy = model.tensor_get(i);
    const nested_cview borrowed = model.tensor_borrow(i);
    CHECK(copy.size() == info.n_elements && std::equal(copy.begin(), copy.end(), all.data() + info.flat_offset));
    CHECK(std::memcmp(borrowed.data, copy.data(), copy.size() * sizeof(float)) == 0);
  }
  FAILS(NESTED_E_RANGE, model.tensor_at(model.tensor_count()));
  FAILS(NESTED_E_RANGE, model.tensor_get(-1));
  CHECK(THROWS(nested::error, model.tensor_find("blocks")).status() == NESTED_E_NOT_FOUND);
  const std::vector<float> ones(model.tensor_get(0).size(), 1.0f);
  model.tensor_set(0, ones);
  CHECK(model.tensor_get(0) == ones);
  const std::vector<double> twos(ones.size(), 2.0);
  model.tensor_set(0, nested::view(twos));
  std::vector<double> wide(ones.size());
  model.tensor_get(0, nested::view(wide));
  CHECK(wide == twos && model.tensor_get(0)[0] == 2.0f);
  FAILS(NESTED_E_SHAPE, model.tensor_set(0, {1.0f}));
  FAILS(NESTED_E_SHAPE, model.set_params({1.0f, 2.0f}));
  model.set_params(all);
  CHECK(model.params() == all);

  // Files and bytes.
  std::uint64_t calls = 0;
  model.save(path("model"), NESTED_SAVE_NO_SYNC, [&](const nested_progress &p) { calls += p.stage == std::string("save"); });
  CHECK(calls > 0 && nested::model::load(context, path("model")).params() == all);
  const nested::blob bytes = model.to_blob();
  CHECK(bytes.size() == std::filesystem::file_size(path("model")) && bytes.text().size() == bytes.size());
  CHECK(nested::model::from_bytes(context, bytes.data(), bytes.size()).params() == all);
  FAILS(NESTED_E_CORRUPT, nested::model::from_bytes(context, bytes.data(), bytes.size() - 1));

  // Forward and loss agree.
  const std::vector<std::int32_t> tokens = some_tokens(12);
  const nested::batch batch(tokens, 2, 6);
  std::vector<float> logits(12 * vocab);
  model.forward(batch, nested::view(logits, {2, 6, vocab}));
  double nats = 0;
  for (std::size_t row = 0; row < 2; row++)
    for (std::size_t t = 0; t < 5; t++) {
      const float *l = logits.data() + (row * 6 + t) * vocab;
      double sum = 0;
      for (int v = 0; v < vocab; v++) sum += std::exp(static_cast<double>(l[v]));
      nats += std::log(sum) - static_cast<double>(l[tokens[row * 6 + t + 1]]);
    }
  const nested_eval eval = model.evaluate(batch);
  CHECK(eval.n_targets == 10 && std::abs(eval.loss - nats / 10) < 1e-4);
  FAILS(NESTED_E_SHAPE, model.forward(batch, nested::view(logits)));
}

int main() {
  owning();
  contexts_and_configs();
  models();
  return done();
}
