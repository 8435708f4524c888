/*
 * 03: keep sessions in files, branch them, and make one new model out of what several have learnt.
 *
 * New here: model::save, model::load, model::evaluate, session::save (whole, and its delta alone), session::load,
 * session::fork, session::snapshot, session::restore, consolidate.
 *
 *     c++ -std=c++17 03_save_fork_consolidate.cpp $(pkg-config --cflags --libs nested) -o 03 && ./03
 */
#include <nested.hpp>

#include <cstdio>
#include <filesystem>

static std::vector<std::int32_t> repeat(const std::string &text, std::size_t n) {
  std::vector<std::int32_t> tokens;
  while (tokens.size() < n) tokens.push_back(static_cast<unsigned char>(text[tokens.size() % text.size()]));
  return tokens;
}

// Mean loss of the beginning of a text, from a fresh start.
static double loss(const nested::model &model, const std::vector<std::int32_t> &tokens) {
  return model.evaluate({{tokens.data(), 300}, 1, 300}).loss;
}

int main() try {
  const auto base = repeat("red green blue red green blue. ", 2000);
  const auto ann = repeat("ann likes apples and pears. ", 600), ben = repeat("ben likes trains & boats. ", 600);

  nested::context context;
  nested::model made(context, nested::config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2,
      "head_dim": 32, "cms": {"levels": [{"chunk": 16, "hidden": 128, "lr": 0.05},
      {"chunk": 128, "hidden": 128, "lr": 0.02}, {"chunk": 0, "hidden": 128}]}})"), 1);
  nested::trainer(made, R"({"schedule": {"type": "cosine", "warmup": 20, "total": 150}})").fit(base, 150, 8, 64);

  // Files are safetensors; a crash while saving leaves the old file or the new one.
  made.save("example.safetensors");
  const nested::model model = nested::model::load(context, "example.safetensors");

  // Saved and loaded, a session goes on as if nothing had happened.
  nested::session a(model, NESTED_LEARN_ON), b(model, NESTED_LEARN_ON);
  a.feed({ann.data(), 300});
  a.save("example.session");
  a.save("example.delta", NESTED_SAVE_DELTA);
  a = nested::session::load(model, "example.session");

  // What the levels learnt is a smaller file of its own: a fresh stream on the same weights, that knows it.
  nested::session learnt = nested::session::load(model, "example.delta");
  std::printf("the session %ju bytes, its delta alone %ju; that one's stream stands at %lld\n",
              std::filesystem::file_size("example.session"), std::filesystem::file_size("example.delta"),
              static_cast<long long>(learnt.info().position));

  // A fork is a stream of its own; a snapshot is a place to come back to.
  nested::session branch = a.fork();
  const nested::snapshot here = a.snapshot();
  a.feed({ann.data() + 300, 300});
  branch.feed({ann.data() + 300, 300});
  const bool same = a.output() == branch.output();
  std::printf("the session and its fork read the same and predict the same bits: %s\n", same ? "yes" : "no");
  branch.restore(here);
  b.feed(ben);

  // Both sessions' levels, merged into a new model; the old model stays as it is.
  const nested::model merged = nested::consolidate(model, {&a, &b});
  std::printf("loss, nats per byte  %10s %12s\n", "model", "consolidated");
  std::printf("what ann wrote       %10.3f %12.3f\n", loss(model, ann), loss(merged, ann));
  std::printf("what ben wrote       %10.3f %12.3f\n", loss(model, ben), loss(merged, ben));
  std::printf("what the model knew  %10.3f %12.3f\n", loss(model, base), loss(merged, base));

  for (const char *file : {"example.safetensors", "example.session", "example.delta"}) std::filesystem::remove(file);
  return same && branch.info().position == 300 && loss(merged, ann) < loss(model, ann) ? 0 : 1;
} catch (const nested::error &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
