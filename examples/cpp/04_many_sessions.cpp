/*
 * 04: one model, many streams: a thread and a session for each, all on the same weights.
 *
 * New here: context_options, sessions on a shared model from several threads, feed_each, context::memory.
 *
 *     c++ -std=c++17 04_many_sessions.cpp $(pkg-config --cflags --libs nested) -lpthread -o 04 && ./04
 */
#include <nested.hpp>

#include <cstdio>
#include <thread>

struct user {
  nested::session session;
  double first = 0, last = 0;  // surprise of the first and of the last quarter
};

// Every thread does this; the model is only read, so nothing needs a lock.
static void serve(user &u, const std::vector<std::int32_t> &tokens) {
  const std::size_t quarter = tokens.size() / 4;
  u.first = u.session.feed({tokens.data(), quarter}).loss;
  u.session.feed({tokens.data() + quarter, 2 * quarter});
  u.last = u.session.feed({tokens.data() + 3 * quarter, quarter}).loss;
}

int main() try {
  std::vector<std::vector<std::int32_t>> texts;
  for (std::string text : {"ann likes apples and pears. ", "ben likes trains & boats. ", "cid counts 1 2 3 4 5 6 7. ",
                           "dot sings la la la! "}) {
    while (text.size() < 600) text += text;
    texts.push_back(nested::to_tokens(text.substr(0, 600)));
  }

  nested::context_options options;
  options.n_threads = 2;               // the pool that all calls share
  options.memory_limit = 200u << 20;   // for everything made from this context
  const nested::context context(options);
  const nested::model model(context, nested::config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2,
      "head_dim": 32, "cms": {"levels": [{"chunk": 16, "hidden": 128, "lr": 0.05}, {"chunk": 0, "hidden": 128}]}})"), 1);

  // One after another, and all at the same time.
  std::vector<user> alone, together;
  for (std::size_t u = 0; u < texts.size(); u++) {
    alone.push_back({nested::session(model, NESTED_LEARN_ON)});
    together.push_back({nested::session(model, NESTED_LEARN_ON)});
    serve(alone[u], texts[u]);
  }
  std::vector<std::thread> threads;
  for (std::size_t u = 0; u < texts.size(); u++) threads.emplace_back(serve, std::ref(together[u]), std::cref(texts[u]));
  for (std::thread &thread : threads) thread.join();

  bool same = true;
  std::printf("nats per byte  first quarter  last quarter\n");
  for (std::size_t u = 0; u < texts.size(); u++) {
    std::printf("%.3s            %13.3f %13.3f\n", nested::to_text(texts[u]).c_str(), together[u].first, together[u].last);
    same = same && together[u].session.output() == alone[u].session.output() && together[u].last < together[u].first;
  }
  std::printf("in threads and one after another, the same bits: %s\n", same ? "yes" : "no");

  // The next byte for all of them in one call, as a server does it; each row is what the session alone would say.
  std::vector<nested::session *> sessions;
  for (user &u : together) sessions.push_back(&u.session);
  std::vector<float> logits(4 * 256);
  nested::feed_each(sessions, {'a', 'b', 'c', 'd'}, nested::view(logits, {4, 256}));
  for (std::size_t u = 0; u < texts.size(); u++) {
    std::vector<float> single(256);
    alone[u].session.feed({static_cast<std::int32_t>('a' + u)}, nested::view(single));
    same = same && std::equal(single.begin(), single.end(), logits.data() + 256 * u);
  }
  std::printf("as a batch, the same bits: %s\n%.1f MB in use for 8 sessions and the weights\n", same ? "yes" : "no",
              static_cast<double>(context.memory().in_use) / 1e6);
  return same ? 0 : 1;
} catch (const nested::error &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
