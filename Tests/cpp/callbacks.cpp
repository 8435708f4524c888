// Callbacks that stop, throw, nest: the exception comes out of the call, whole, and the object is as it was.
#include "check.hpp"

#include <memory>

// Not copyable after it was thrown by reference counting alone: has state that must arrive.
struct mine : std::exception {
  int number;
  explicit mine(int n) : number(n) {}
};

static void progress_and_tokens() {
  const scratch path;
  nested::model model = make_model();
  const std::vector<std::int32_t> text = some_tokens(64);
  nested::session session(model, NESTED_LEARN_ON);
  session.feed(text);

  // In every call that takes a run, at the first report: nothing has changed.
  const std::vector<float> weights = model.params(), output = session.output();
  nested::trainer trainer(model);
  const nested::batch batch(text, 4, 16);
  std::vector<float> logits(64 * vocab);
  const auto bad = [](const nested_progress &) { throw mine(7); };
  model.save(path("model"));
  session.save(path("session"));
  trainer.save(path("trainer"));
  CHECK(THROWS(mine, model.save(path("other"), 0, bad)).number == 7);
  THROWS(mine, model.evaluate(batch, bad));
  THROWS(mine, model.forward(batch, nested::view(logits, {4, 16, vocab}), bad));
  THROWS(mine, trainer.step(batch, bad));
  THROWS(mine, trainer.fit(text, 5, 2, 8, bad));
  THROWS(mine, trainer.accumulate(batch, bad));
  trainer.accumulate(batch);
  THROWS(mine, trainer.apply(bad));
  THROWS(mine, trainer.save(path("other"), 0, bad));
  THROWS(mine, trainer.load(path("trainer"), bad));
  THROWS(mine, session.feed(text, bad));
  THROWS(mine, session.score(text, {}, bad));
  THROWS(mine, session.generate(9, {}, bad));
  THROWS(mine, session.save(path("other"), 0, bad));
  THROWS(mine, nested::session::load(model, path("session"), bad));
  THROWS(mine, nested::model::load(make_context(), path("model"), bad));
  THROWS(mine, nested::feed_each({&session}, {1}, bad));
  THROWS(mine, nested::consolidate(model, {&session}, {}, bad));
  CHECK(!std::filesystem::exists(path("other")) && model.params() == weights && session.output() == output);
  CHECK(trainer.apply().step == 1);  // what was collected had stayed
  trainer = nested::trainer(*std::make_unique<nested::model>(make_model()));

  // Later ones, and things that are no std::exception.
  int calls = 0;
  const std::int64_t before = session.info().position;
  try {
    session.feed(text, [&](const nested_progress &p) { if (calls++; p.done >= 16) throw 42; });
    CHECK(false);
  } catch (int thrown) {
    CHECK(thrown == 42);
  }
  CHECK(calls > 1 && session.info().position > before && session.info().position < before + 64);  // whole segments stay
  THROWS(mine, session.generate(9, {}, [](const nested_token_event &e) { if (e.index == 2) throw mine(1); }));
  const std::int64_t position = session.info().position;
  session.feed({1});  // it goes on
  CHECK(session.info().position == position + 1);

  // true stops; an empty std::function is an exception like any other.
  THROWS(nested::cancelled, session.feed(text, [](const nested_progress &) { return true; }));
  CHECK(session.feed(text, [](const nested_progress &) { return false; }).n_consumed == 64);
  THROWS(std::bad_function_call, session.feed(text, std::function<bool(const nested_progress &)>()));
  calls = 0;
  const nested::run both([&](const nested_progress &) { calls++; }, nested::cancel());
  CHECK(THROWS(nested::error, session.feed(text, both)).status() == NESTED_E_HANDLE);  // its token is gone: a ticket, no crash
  nested::cancel stop;
  session.feed(text, {[&](const nested_progress &) { calls++; }, stop});
  CHECK(calls > 0);
  calls = 0;
  session.feed(text, {[&](const nested_progress &) { calls++; }, 1000000});  // hardly ever
  CHECK(calls <= 1);
  THROWS(nested::cancelled, session.feed(text, {[&](const nested_progress &) { stop.raise(); }, stop}));

  // Calls within callbacks: each throws its own, and the inner one may be caught.
  nested::session other(model);
  CHECK(THROWS(mine, session.feed(text, [&](const nested_progress &) {
    CHECK(THROWS(mine, other.feed(text, [](const nested_progress &) { throw mine(1); })).number == 1);
    FAILS(NESTED_E_REENTRANT, session.feed({1}));
    nested::model copy = model;  // a copy of a busy object's model
    CHECK(copy.info().version == model.info().version);
    throw mine(2);
  })).number == 2);
  FAILS(NESTED_E_REENTRANT, session.feed(text, [&](const nested_progress &) { session.reset(); }));  // uncaught inside
  CHECK(session.feed(text).n_consumed == 64);
}

static void hooks() {
  nested::model model = make_model();
  const std::vector<std::int32_t> text = some_tokens(64);
  const nested::batch batch(text, 4, 16);
  const std::vector<float> weights = model.params();
  nested::trainer trainer(model);
  int calls = 0;
  trainer.set_allreduce([&](auto) { if (++calls == 2) throw mine(calls); }, 100);
  CHECK(THROWS(mine, trainer.step(batch)).number == 2);
  CHECK(model.params() == weights && calls == 2);
  CHECK(trainer.step(batch).step == 1 && calls > 3);
  calls = 1;
  trainer.accumulate(batch);
  CHECK(THROWS(mine, trainer.apply()).number == 2);
  trainer.zero();
  calls = 1;
  CHECK(THROWS(mine, trainer.fit(text, 3, 2, 8)).number == 2);
  trainer.set_allreduce([&](auto) { trainer.set_allreduce(nullptr); });  // not now
  FAILS(NESTED_E_REENTRANT, trainer.step(batch));
  trainer.set_allreduce(nullptr);
  CHECK(trainer.step(batch).applied == 1);
}

static void logs() {
  const scratch path;
  nested::context_options options;
  options.n_threads = 1;
  options.log_level = NESTED_LOG_DEBUG;
  auto held = std::make_shared<int>(0);
  int records = 0;
  bool angry = false;
  {
    std::vector<nested::session> last;
    {
      nested::context context(options, [held, &records, &angry](const nested_log_record &r) {
        CHECK(r.message != nullptr && r.component != nullptr);
        records++;
        if (angry) throw mine(records);
      });
      CHECK(held.use_count() == 2);
      nested::model model(context, nested::config(small_config), 1);
      model.save(path("model"));
      const int so_far = records;
      nested::model loaded = nested::model::load(context, path("model"));
      CHECK(records > so_far);

      // Thrown again by the call, whose result is not lost but released.
      angry = true;
      const std::int64_t alive = nested::live_handles();
      THROWS(mine, nested::model::load(context, path("model")));
      CHECK(nested::live_handles() == alive);
      // A failure that has its own reason keeps it.
      FAILS(NESTED_E_IO, nested::model::load(context, path("nothing")));
      angry = false;
      last.emplace_back(loaded);
    }
    CHECK(held.use_count() == 2);  // the session keeps what the context of its model calls
    last[0].feed({1, 2, 3});
    nested::session fork = last[0].fork();
    last.clear();
    CHECK(held.use_count() == 2);
    fork.snapshot();
    angry = true;  // and while things are destroyed nothing gets out
  }
  CHECK(held.use_count() == 1);
}

int main() {
  progress_and_tokens();
  hooks();
  logs();
  return done();
}
