/*
 * 02: a session that reads something new gets better at it, while the model stays as it is.
 *
 * New here: the three modes of a session, session::info, session::level, session::score, session::reset_levels.
 *
 *     c++ -std=c++17 02_session_keeps_learning.cpp $(pkg-config --cflags --libs nested) -o 02 && ./02
 */
#include <nested.hpp>

#include <cstdio>

static std::vector<std::int32_t> repeat(const std::string &text, std::size_t n) {
  std::vector<std::int32_t> tokens;
  while (tokens.size() < n) tokens.push_back(static_cast<unsigned char>(text[tokens.size() % text.size()]));
  return tokens;
}

int main() try {
  const auto old_text = repeat("one two three four five six seven eight nine ten. ", 4000);
  const auto new_text = repeat("eins zwei drei vier sechs acht neun zehn elf! ", 1024);

  nested::model model(nested::context(), nested::config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2,
      "head_dim": 32, "cms": {"levels": [{"chunk": 16, "hidden": 128, "lr": 0.05},
      {"chunk": 128, "hidden": 128, "lr": 0.02}, {"chunk": 0, "hidden": 128}]}})"), 1);
  nested::trainer(model, R"({"schedule": {"type": "cosine", "warmup": 20, "total": 150}})").fit(old_text, 150, 8, 64);
  const std::vector<float> before = model.params();

  // The same new text into three sessions: what is the surprise (nats per byte) of each quarter?
  nested::session memory(model, NESTED_LEARN_MEMORY), off(model, NESTED_LEARN_OFF), on(model, NESTED_LEARN_ON);
  double last[3];
  int row = 0;
  std::printf("%-8s %8s %8s %8s %8s\n", "learn", "1st", "2nd", "3rd", "4th quarter");
  for (auto [name, session] : {std::pair{"memory", &memory}, {"off", &off}, {"on", &on}}) {
    std::printf("%-8s", name);
    for (std::size_t quarter = 0; quarter < 4; quarter++) {
      last[row] = session->feed({new_text.data() + 256 * quarter, 256}).loss;
      std::printf(" %8.3f", last[row]);
    }
    std::printf("\n");
    row++;
  }

  const nested_session_info info = on.info();
  std::printf("\nafter %lld bytes, %llu updates, %llu bytes of state of its own:\n", static_cast<long long>(info.position),
              static_cast<unsigned long long>(info.n_updates), static_cast<unsigned long long>(info.state_bytes));
  for (int l = 0; l < 3; l++) {
    const nested_level level = on.level(0, l);
    std::printf("  block 0, level %d, chunk %3lld: %2llu updates, moved by %.4f of %.2f\n", l,
                static_cast<long long>(level.chunk), static_cast<unsigned long long>(level.n_updates), level.delta_norm,
                level.weight_norm);
  }

  // Score does not teach. Reset forgets what the levels learnt.
  const double with = on.score({new_text.data(), 256});
  on.reset_levels();
  const double without = on.score({new_text.data(), 256});
  std::printf("log-probability of 256 bytes: %.1f with what the levels learnt, %.1f without\n", with, without);
  const bool same = model.params() == before;
  std::printf("the model's weights are as they were: %s\n", same ? "yes" : "no");
  return same && with > without && last[2] < last[1] ? 0 : 1;
} catch (const nested::error &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
