// Sessions in threads, shared objects, cancelling from outside; what a callback throws stays in its thread.
#include "check.hpp"

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>

static nested::cancel *interrupted;

static void test() {
  const nested::model model(make_context(2), nested::config(small_config), 1);
  std::vector<std::vector<float>> alone, together(6);
  for (std::uint32_t i = 0; i < 6; i++) {
    nested::session session(model, NESTED_LEARN_ON, i);
    session.feed(some_tokens(100, i));
    alone.push_back(session.output());
  }
  std::vector<std::thread> threads;
  std::atomic<int> caught{0};
  for (std::uint32_t i = 0; i < 6; i++)
    threads.emplace_back([&, i, mine = model] {  // a reference of its own
      nested::session session(mine, NESTED_LEARN_ON, i);
      for (std::int32_t token : some_tokens(100, i)) {
        // A callback throws in each thread while others are at work: each gets its own.
        try {
          session.feed({token}, [&](const nested_progress &) { if (token % 5 == 0) throw i; });
        } catch (std::uint32_t thrown) {
          if (thrown == i) caught++;
          session.feed({token});
        }
      }
      together[i] = session.output();
    });
  for (std::thread &thread : threads) thread.join();
  CHECK(together == alone && caught > 50);

  // The last reference may go anywhere.
  std::optional<nested::session> session(std::in_place, nested::model(model.clone()));
  session->feed({1, 2});
  std::thread([moved = std::move(*session)]() mutable { moved.feed({3}); }).join();
  CHECK(!*session);

  // Stopped from another thread, and by a signal.
  nested::cancel stop;
  nested::session slow(model, NESTED_LEARN_ON);
  std::atomic<bool> reading{false};
  std::thread stopper([&] {
    while (!reading) std::this_thread::yield();
    stop.raise();
  });
  const nested::cancelled c = THROWS(nested::cancelled, slow.feed(some_tokens(1000000), {
      [&](const nested_progress &p) { reading = p.done > 0; }, stop}));
  stopper.join();
  CHECK(c.committed() > 0);
  CHECK(static_cast<std::int64_t>(c.committed()) == slow.info().position);
  stop.clear();
  interrupted = &stop;
  std::signal(SIGUSR1, [](int) { interrupted->raise(); });
  THROWS(nested::cancelled, slow.feed(some_tokens(200), {[](const nested_progress &) { std::raise(SIGUSR1); }, stop}));
  CHECK(slow.feed(some_tokens(20)).n_consumed == 20);

  // One session from many threads: one call at a time, none lost.
  nested::session shared(model);
  threads.clear();
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&] {
      for (int n = 0; n < 50; n++) shared.feed({1}), (void)shared.info();
    });
  for (std::thread &thread : threads) thread.join();
  CHECK(shared.info().position == 200);
}

int main() {
  test();
  return done();
}
