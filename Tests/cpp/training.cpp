// Trainers: steps, steps in pieces, the all-reduce hook, files.
#include "check.hpp"

#include <cmath>

static const char options[] = R"({"lr":0.01,"clip":0,"schedule":{"type":"constant"}})";

static void test() {
  const scratch path;
  const std::vector<std::int32_t> text = some_tokens(400);
  const nested::span<const std::int32_t> all(text);
  const nested::batch whole({all.data(), 64}, 4, 16), left({all.data(), 32}, 2, 16), right({all.data() + 32, 32}, 2, 16);

  nested::model model = make_model();
  nested::trainer trainer(model, options);
  CHECK(trainer.options().find("\"lr\":0.01") != std::string::npos && nested::trainer::schema()[0] == '{');
  FAILS(NESTED_E_EXISTS, nested::trainer{model});
  FAILS(NESTED_E_CONFIG, nested::trainer(*std::make_unique<nested::model>(make_model()), R"({"rate":1})"));

  // One step, and the same in pieces: two halves, summed.
  nested::model twin = model.clone();
  nested::trainer pieces(twin, options);
  const nested_step step = trainer.step(whole);
  CHECK(step.applied == 1 && step.step == 1 && step.n_targets == 60);
  CHECK(pieces.accumulate(left).n_targets == 30);
  const nested::trainer::gradient_view gradient = pieces.gradient();
  CHECK(gradient.sum.size() == twin.info().n_params && *gradient.n_targets == 30);
  pieces.accumulate(right);
  const nested_step applied = pieces.apply();
  CHECK(applied.applied == 1 && applied.n_targets == 60 && std::abs(applied.grad_norm - step.grad_norm) < 1e-4);
  pieces.accumulate(left);
  pieces.zero();
  CHECK(pieces.apply().skip_reason == NESTED_SKIP_NO_TARGETS);

  // fit, and that a saved trainer goes on bit for bit.
  CHECK(trainer.fit(text, 3, 2, 8).n_steps == 3);
  trainer.set_lr(0.001);
  CHECK(trainer.step(whole).lr == 0.001);
  trainer.set_lr(-1);
  trainer.save(path("trainer"));
  nested::model copy = model.clone();
  nested::trainer resumed(copy);
  resumed.load(path("trainer"));
  CHECK(resumed.options() == trainer.options());
  trainer.fit(text, 3, 2, 8);
  resumed.fit(text, 3, 2, 8);
  CHECK(model.params() == copy.params());

  // The hook sees every gradient once, then the count, and its changes count.
  struct counting {
    std::size_t *floats, *doubles;
    void operator()(nested::span<float> values) const { *floats += values.size(); }
    void operator()(nested::span<double> values) const { *doubles += values.size(); }
  };
  std::size_t floats = 0, doubles = 0;
  trainer.set_allreduce(counting{&floats, &doubles}, 1000);
  trainer.step(whole);
  CHECK(floats == model.info().n_params && doubles == 1);
  nested::trainer moved = std::move(trainer);  // the hook moves with it
  moved.step(whole);
  CHECK(floats == 2 * model.info().n_params && doubles == 2);
  moved.set_allreduce([](auto values) {
    for (auto &value : values) value *= 2;  // a second worker with the same batch
  });
  CHECK(moved.step(whole).n_targets == 120 && doubles == 2);
  moved.set_allreduce(nullptr);
  CHECK(moved.step(whole).n_targets == 60);
  FAILS(NESTED_E_HANDLE, trainer.step(whole));  // NOLINT: moved from

  // What a hook holds goes with the hook, and with the trainer.
  auto held = std::make_shared<int>(1);
  moved.set_allreduce([held](auto) {});
  CHECK(held.use_count() == 2);
  moved.set_allreduce(nullptr);
  CHECK(held.use_count() == 1);
  moved.set_allreduce([held](auto) {});
  moved = nested::trainer(twin = make_model());
  CHECK(held.use_count() == 1);
}

int main() {
  test();
  return done();
}
