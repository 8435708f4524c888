/*
 * 07: labels arrive one after another; a session learns them, forgets, and is reminded.
 *
 * New here: kind "cms" and task "classify", batch of vectors and batch::labelled, session::teach, session::predict,
 * the head as a level.
 *
 *     c++ -std=c++17 07_continual_classification.cpp $(pkg-config --cflags --libs nested) -o 07 && ./07
 */
#include <nested.hpp>

#include <algorithm>
#include <cstdio>
#include <random>

static const char *const glyphs[5] = {  // five by seven dots
    ".###.#...##...##...##...##...#.###.", "..#...##....#....#....#....#...###.",
    ".###.#...#....#...#...#...#...#####", ".###.#...#....#..##.....##...#.###.",
    "...#...##..#.#.#..#.#####...#....#."};

// Digits in a shaky hand: about one dot in sixteen is wrong, all are blurred.
struct drawings {
  std::vector<float> dots;
  std::vector<std::int64_t> labels;

  drawings(int from, int to, std::size_t n, std::uint32_t seed) {
    std::mt19937 random(seed);
    auto chance = [&] { return static_cast<double>(random()) / 4294967296.0; };
    for (std::size_t i = 0; i < n; i++) {
      labels.push_back(from + static_cast<int>(chance() * (to - from + 1)));
      for (const char *at = glyphs[labels.back()]; *at; at++) {
        const bool dot = (*at == '#') != (chance() < 1.0 / 16);
        dots.push_back(static_cast<float>((dot ? 1 : -1) + chance() - 0.5));
      }
    }
  }
  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
  nested::batch rows() const { return nested::batch(nested::view(dots, {size(), 35})); }
  nested::batch lesson() const { return rows().labelled(nested::view(labels)); }
};

// Which share of the drawings the session recognises; predicting changes nothing.
static double share(const nested::session &session, const drawings &shown) {
  const std::vector<float> logits = session.predict(shown.rows());
  const std::int64_t outputs = session.info().n_outputs;
  int right = 0;
  for (std::int64_t i = 0; i < shown.size(); i++) {
    const auto row = logits.begin() + i * outputs;
    right += std::max_element(row, row + outputs) - row == shown.labels[static_cast<std::size_t>(i)];
  }
  return right / static_cast<double>(shown.size());
}

int main() try {
  const drawings old_ones(0, 2, 200, 1), new_ones(3, 4, 200, 2);
  nested::model model(nested::context(), nested::config(R"({"kind": "cms", "task": "classify", "inputs": 35, "classes": 3,
      "d_model": 32, "cms": {"levels": [{"chunk": 8, "hidden": 32}, {"chunk": 64, "hidden": 32}]}})"), 1);
  const std::vector<float> weights = model.params();
  nested::session session(model);

  auto tell = [&](const char *what) {
    const std::pair shares{share(session, old_ones), share(session, new_ones)};
    std::printf("%-34s %d labels %8.2f %8.2f\n", what, static_cast<int>(session.info().n_outputs), shares.first, shares.second);
    return shares;
  };
  std::printf("%43s %8s %8s\n", "", "0 1 2", "3 4");
  tell("before");

  // Teaching learns each drawing once. What it returns is how well each was known before that.
  const nested_eval first = session.teach(drawings(0, 2, 300, 3).lesson());
  const auto taught = tell("taught 0, 1, 2");

  // Two more labels arrive: the head grows by a row for each, and what it does not see it forgets.
  session.teach(drawings(3, 4, 300, 4).lesson());
  const auto forgot = tell("taught 3, 4, nothing of 0, 1, 2");

  // Some of everything brings it back.
  const nested_eval last = session.teach(drawings(0, 4, 100, 5).lesson());
  const auto reminded = tell("reminded by 20 of each");
  std::printf("known in use: %.2f of the first lesson, %.2f of the last\n", first.accuracy, last.accuracy);

  // The head is a level of its own, after the last layer.
  const nested_model_info shape = model.info();
  for (int l = 0; l <= shape.n_levels; l++) {
    const bool head = l == shape.n_levels;
    const nested_level level = head ? session.level(shape.n_layers, 0) : session.level(0, l);
    std::printf("  %s, chunk %2d: %3d updates, moved by %.3f\n", head ? "the head" : "a level ", static_cast<int>(level.chunk),
                static_cast<int>(level.n_updates), level.delta_norm);
  }

  const bool good = first.accuracy > 0.7 && taught.first > 0.9 && taught.second == 0 && forgot.second > 0.9 &&
                    reminded.first > forgot.first && std::min(reminded.first, reminded.second) > 0.8;
  return good && model.params() == weights ? 0 : 1;
} catch (const nested::error &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
