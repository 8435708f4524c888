// Sessions: feeding, scoring, generating, copies, snapshots, files, levels, consolidation.
#include "check.hpp"

#include <cmath>
#include <cstring>
#include <memory>

static std::vector<std::int32_t> part(const std::vector<std::int32_t> &all, std::ptrdiff_t from, std::ptrdiff_t to) {
  return {all.begin() + from, all.begin() + to};
}

static void test() {
  const scratch path;
  const nested::model model = make_model();
  const std::vector<std::int32_t> text = some_tokens(40);

  // How a stream is cut changes nothing; logits of each position, of the last one, and output() agree.
  nested::session session(model, NESTED_LEARN_ON, 5);
  CHECK(session.info().learn == NESTED_LEARN_ON && session.info().seed == 5 && session.info().position == 0);
  FAILS(NESTED_E_STATE, session.output());
  std::vector<float> each(20 * vocab);
  std::vector<double> last(vocab);
  CHECK(session.feed(part(text, 0, 20), nested::view(each, {20, vocab})).n_consumed == 20);
  const nested_feed fed = session.feed(part(text, 20, 40), nested::view(last));
  CHECK(fed.n_consumed == 20 && fed.loss > 0 && fed.n_updates > 0 && session.info().position == 40);
  nested::session whole(model, NESTED_LEARN_ON, 5);
  whole.feed(text);
  CHECK(whole.output() == session.output() && whole.output().size() == vocab);
  CHECK(static_cast<float>(last[3]) == session.output()[3]);
  CHECK(std::isnan(nested::session(model).feed({1}).loss));
  FAILS(NESTED_E_SHAPE, session.feed({1, 2}, nested::view(last, {2, vocab / 2})));

  // Scores, without moving.
  std::vector<float> logprobs(10);
  const double sum = session.score(part(text, 0, 10), logprobs);
  double total = 0;
  for (float one : logprobs) total += static_cast<double>(one);
  CHECK(sum < 0 && std::abs(sum - total) < 1e-3 && session.info().position == 40);
  CHECK(session.score(part(text, 0, 10)) == sum);
  FAILS(NESTED_E_SHAPE, session.score({1, 2}, logprobs));

  // Generating: the same from a fork; stops.
  nested::session fork = session.fork();
  nested::sampling sampling;
  sampling.temperature = 1;
  const nested::generated a = session.generate(12, sampling);
  std::vector<std::int32_t> seen;
  const nested::generated b = fork.generate(12, sampling, [&](const nested_token_event &event) { seen.push_back(event.token); });
  CHECK(a.tokens.size() == 12 && a.tokens == b.tokens && seen == a.tokens && a.finish == NESTED_FINISH_LENGTH);
  CHECK(session.generate(0).tokens.empty());
  const nested::generated stopped = fork.generate(12, sampling, [](const nested_token_event &e) { return e.index == 2; });
  CHECK(stopped.tokens.size() == 3 && stopped.finish == NESTED_FINISH_CALLBACK);
  const std::int32_t stop = session.fork().generate(1).tokens[0];
  sampling = {};
  sampling.stop_tokens = &stop, sampling.n_stop_tokens = 1;
  CHECK(session.generate(5, sampling).finish == NESTED_FINISH_STOP);

  // Snapshots, bytes and files, whole and as a delta.
  const nested::snapshot snapshot = session.snapshot();
  const std::vector<float> here = session.output();
  session.feed(text);
  session.restore(snapshot);
  CHECK(session.output() == here);
  const nested::blob bytes = snapshot.to_blob(), delta = snapshot.to_blob(true);
  CHECK(delta.size() < bytes.size());
  fork.restore(nested::snapshot::from_bytes(model, bytes.data(), bytes.size()));
  CHECK(fork.output() == here);
  session.save(path("session"));
  nested::session loaded = nested::session::load(model, path("session"));
  CHECK(loaded.output() == here && loaded.info().position == session.info().position);
  session.save(path("delta"), NESTED_SAVE_DELTA);
  const nested::session learnt = nested::session::load(model, path("delta"));
  CHECK(learnt.info().position == 0 && learnt.level(0, 0).delta_norm == session.level(0, 0).delta_norm);
  CHECK(std::filesystem::file_size(path("delta")) == delta.size());
  nested::session from_delta(model);
  from_delta.restore(nested::snapshot::from_bytes(model, delta.data(), delta.size()));
  CHECK(from_delta.level(0, 0).delta_norm == learnt.level(0, 0).delta_norm);
  const nested::model stranger = make_model(2);
  CHECK(THROWS(nested::error, nested::session::load(stranger, path("delta"))).place() == "nested.weights");
  FAILS(NESTED_E_MISMATCH, nested::session::load(stranger, path("delta")));
  FAILS(NESTED_E_CORRUPT, nested::snapshot::from_bytes(model, bytes.data(), 10));

  // Modes and levels.
  loaded.set_learn(NESTED_LEARN_OFF);
  CHECK(loaded.info().learn == NESTED_LEARN_OFF);
  FAILS(NESTED_E_RANGE, loaded.level(2, 0));
  const nested_level level = session.level(1, 1);
  CHECK(level.layer == 1 && level.level == 1 && level.chunk == 16 && level.delta_norm > 0 && level.frozen == 0);
  nested::level_control control;
  control.frozen = 1;
  session.control_levels(control, 1, 1);
  CHECK(session.level(1, 1).frozen == 1 && session.level(0, 1).frozen == 0);
  session.control_levels(control);
  CHECK(session.level(0, 1).frozen == 1);
  control.frozen = -1;
  session.control_levels(control);
  const std::uint64_t updates = session.info().n_updates;
  session.feed({1, 2, 3});
  session.flush_levels();
  CHECK(session.info().n_updates > updates);
  session.reset_levels(1);
  CHECK(session.level(1, 1).delta_norm == 0 && session.level(0, 1).delta_norm > 0);
  session.reset();
  CHECK(session.info().position == 0 && session.level(0, 1).delta_norm == 0);

  // Several at once equal one after the other; ranges of sessions, of pointers, and lists.
  std::vector<nested::session> many;
  for (std::int32_t i = 0; i < 3; i++) many.emplace_back(model, NESTED_LEARN_ON).feed(part(text, i, i + 20));
  std::vector<nested::session> alone;
  for (const nested::session &one : many) alone.push_back(one.fork());
  std::vector<float> rows(3 * vocab);
  nested::feed_each(many, {4, 5, 6}, nested::view(rows, {3, vocab}));
  for (std::size_t i = 0; i < 3; i++) {
    alone[i].feed({static_cast<std::int32_t>(4 + i)});
    CHECK(std::memcmp(alone[i].output().data(), &rows[i * vocab], vocab * sizeof(float)) == 0);
  }
  nested::feed_each({&many[0], &many[2]}, {7, 8});
  std::vector<nested::session *> pointers{&alone[0], &alone[2]};
  nested::feed_each(pointers, {7, 8});
  CHECK(many[2].output() == alone[2].output());
  FAILS(NESTED_E_SHAPE, nested::feed_each(many, {1, 2}));
  FAILS(NESTED_E_ARGUMENT, nested::feed_each({&many[0], &many[0]}, {1, 2}));
  nested::cancel raised;
  raised.raise();
  CHECK(THROWS(nested::cancelled, nested::feed_each(many, {1, 2, 3}, raised)).committed() == 0);

  // Consolidation.
  const nested::model all = nested::consolidate(model, many);
  const nested::model some = nested::consolidate(model, {&many[0], &many[1]});
  CHECK(all.params() != model.params() && some.params() != all.params());
  nested::consolidation options;
  options.strength = 0.5;
  const double weights[] = {1, 0, 0};
  options.session_weights = weights;
  CHECK(nested::consolidate(model, many, options).params() != all.params());
  FAILS(NESTED_E_MISMATCH, nested::consolidate(nested::model(make_context(), nested::config::defaults()), many));
  FAILS(NESTED_E_ARGUMENT, nested::consolidate(model, std::vector<nested::session>()));
}

int main() {
  test();
  return done();
}
