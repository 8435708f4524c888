/*
 * 01: train a small byte-level model on a text and let it write.
 *
 * New here: context, config, model, trainer::fit with progress, session, session::feed, session::generate, error.
 *
 *     c++ -std=c++17 01_train_generate.cpp $(pkg-config --cflags --libs nested) -o 01 && ./01 [text file]
 */
#include <nested.hpp>

#include <fstream>
#include <iostream>
#include <iterator>

static std::string read_text(int argc, char **argv) {
  if (argc > 1) {
    std::ifstream file(argv[1], std::ios::binary);
    if (!file) throw std::runtime_error(std::string("cannot read ") + argv[1]);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string story;
  for (int i = 0; i < 40; i++)
    story += "the river reads the rain and the rain reads the river. what the river reads it keeps for a while, "
             "and what it keeps it tells the sea. ";
  return story;
}

int main(int argc, char **argv) try {
  // A model of this kind reads token ids; here a token is a byte.
  const std::string text = read_text(argc, argv);
  const std::vector<std::int32_t> tokens = nested::to_tokens(text);

  nested::context context;  // all cores, no limit, silent
  nested::config config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
      "cms": {"levels": [{"chunk": 64, "hidden": 128}, {"chunk": 0, "hidden": 128}]}})");
  nested::model model(context, config, /* seed */ 1);

  // 60 steps over random windows: 8 rows of 64 bytes each.
  nested::trainer trainer(model, R"({"lr": 3e-3, "schedule": {"type": "cosine", "warmup": 10, "total": 60}})");
  const nested_fit fit = trainer.fit(tokens, 60, 8, 64, {[](const nested_progress &p) {
    std::cerr << "\r" << p.stage << " " << p.done << "/" << p.total << ", loss " << p.loss << "   ";
  }, /* at most once in so many milliseconds */ 100});
  std::cerr << "\n";
  std::cout << fit.n_steps << " steps, loss of the last one " << fit.last_loss << " nats per byte\n";

  // A session is one stream: feed a beginning, then sample.
  nested::session session(model);
  session.feed({tokens.data(), 32});
  nested::sampling sampling;
  sampling.temperature = 0.7;
  sampling.top_k = 20;
  const nested::generated written = session.generate(80, sampling);
  std::cout << text.substr(0, 32) << " | " << nested::to_text(written.tokens) << "\n";
  return fit.last_loss < 5.5 && written.tokens.size() == 80 ? 0 : 1;
} catch (const std::exception &failure) {  // nested::error is one
  std::cerr << failure.what() << "\n";
  return 1;
}
