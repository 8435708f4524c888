/*
 * 05: watch a long call, stop it from elsewhere, and read its errors; what failed is as it was.
 *
 * New here: run with a progress callback and a cancel token, cancel::raise (from another thread and from a signal handler),
 * cancelled, error with its status, place and offset, exceptions of callbacks.
 *
 *     c++ -std=c++17 05_cancel_progress_errors.cpp $(pkg-config --cflags --libs nested) -lpthread -o 05 && ./05
 */
#include <nested.hpp>

#include <atomic>
#include <csignal>
#include <iostream>
#include <thread>

static nested::cancel stop;  // a flag that any thread may raise

// The action has to fail like this. Prints what the library says.
template <class Action>
static void expect(nested_status wanted, Action &&action) {
  try {
    action();
  } catch (const nested::error &e) {
    std::cout << "  " << nested_status_name(e.status()) << ": " << e.message();
    if (!e.place().empty()) std::cout << " [at " << e.place() << "]";
    if (e.offset() >= 0) std::cout << " [byte " << e.offset() << "]";
    if (e.os_error() != 0) std::cout << " [errno " << e.os_error() << "]";
    std::cout << "\n";
    if (e.status() == wanted) return;
  }
  throw std::logic_error(std::string("wanted ") + nested_status_name(wanted));
}

int main() try {
  std::string text;
  while (text.size() < 400000) text += "the quick brown fox jumps over the lazy dog. ";
  const std::vector<std::int32_t> tokens = nested::to_tokens(text);
  const nested::context context;
  nested::model model(context, nested::config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2})"), 1);

  std::cout << "a progress callback stops the training after five steps:\n";
  nested::trainer trainer(model);
  try {
    // It runs on this thread, between pieces of work, and returns nothing, or true to stop.
    trainer.fit(tokens, 100000, 4, 32, [](const nested_progress &p) { return p.done >= 5; });
    return 1;
  } catch (const nested::cancelled &e) {  // a nested::error
    std::cout << "  " << e.what() << "\n  " << e.committed() << " steps were made, and stay\n";
    if (e.committed() != 5) return 1;
  }

  std::cout << "another thread stops a session that reads " << tokens.size() << " bytes:\n";
  nested::session session(model);
  std::atomic<bool> at_work{false};
  std::thread other([&] {
    while (!at_work) std::this_thread::yield();
    stop.raise();
  });
  expect(NESTED_E_CANCELLED, [&] {
    session.feed(tokens, {[&](const nested_progress &p) { at_work = p.done > 0; }, stop});
  });
  other.join();
  std::cout << "  " << session.info().position << " bytes were read\n";

  std::cout << "Ctrl-C stops it too:\n";
  stop.clear();
  std::signal(SIGINT, [](int) { stop.raise(); });
  const auto read = static_cast<std::size_t>(session.info().position);
  const nested::span<const std::int32_t> rest(tokens.data() + read, tokens.size() - read);
  expect(NESTED_E_CANCELLED, [&] {
    session.feed(rest, {[](const nested_progress &p) { if (p.done > 0) std::raise(SIGINT); }, stop});
  });

  // What was read is a clean prefix: a session that reads just that says the same.
  const auto position = static_cast<std::size_t>(session.info().position);
  nested::session twin(model);
  twin.feed({tokens.data(), position});

  std::cout << "errors say what and where:\n";
  expect(NESTED_E_CONFIG, [] { nested::config(R"({"vocab": 256, "d_modell": 64})"); });
  expect(NESTED_E_PARSE, [] { nested::config(R"({"vocab": })"); });
  expect(NESTED_E_RANGE, [&] { session.feed({'a', 'b', 256}); });
  expect(NESTED_E_SHAPE, [&] { model.evaluate({tokens, 3, 7}); });
  expect(NESTED_E_IO, [&] { nested::model::load(context, "missing.safetensors"); });
  nested::session moved = std::move(twin);
  expect(NESTED_E_HANDLE, [&] { twin.reset(); });  // NOLINT: moved from, and no crash

  // What a callback throws comes out of the call.
  try {
    session.generate(10, {}, [](const nested_token_event &) { throw std::string("the callback's own exception"); });
    return 1;
  } catch (const std::string &thrown) {
    std::cout << "  " << thrown << "\n";
  }
  moved.generate(1);  // the token that the callback saw

  const bool same = session.output() == moved.output();
  std::cout << "after all that the session says what one says that read " << session.info().position
            << " bytes in peace: " << (same ? "yes" : "no") << "\n";
  return same ? 0 : 1;
} catch (const std::exception &failure) {
  std::cerr << failure.what() << "\n";
  return 1;
}
