/*
 * 06: gradients out and in. Two workers with equal weights each read half of every batch, add up their gradients, and
 * stay equal: data-parallel training by hand.
 *
 * New here: trainer::accumulate, trainer::gradient, trainer::apply, trainer::set_allreduce, model::clone, model::params,
 * model::tensor_at.
 *
 *     c++ -std=c++17 06_gradients.cpp $(pkg-config --cflags --libs nested) -lpthread -o 06 && ./06
 */
#include <nested.hpp>

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

constexpr std::int64_t length = 32, n_rows = 8, half = n_rows / 2;

// Windows of a text, others for every step.
static std::vector<std::int32_t> rows_of(std::size_t step) {
  static const std::string text = "the quick brown fox jumps over the lazy dog. ";
  std::vector<std::int32_t> tokens;
  for (std::size_t row = 0; row < n_rows; row++)
    for (std::size_t i = 0; i < length; i++) tokens.push_back(text[(i + row * 5 + step * 7) % text.size()]);
  return tokens;
}

// true where both workers have the same bits, and one trainer that read everything nearly the same numbers.
static bool agree(const std::vector<nested::model> &models) {
  const std::vector<float> a = models[0].params(), b = models[1].params(), whole = models[2].params();
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); i++) largest = std::max(largest, std::abs(a[i] - whole[i]));
  std::printf("the workers' weights are the same bits: %s; from one trainer on the whole batch they differ by %.1e at most\n",
              a == b ? "yes" : "no", static_cast<double>(largest));
  return a == b && largest < 2e-3f;
}

// The sum over two threads that meet in memory; elsewhere this is MPI_Allreduce.
class meeting {
 public:
  template <class T>
  void sum(int worker, nested::span<T> values) {
    std::vector<double> mine(values.begin(), values.end());
    std::unique_lock lock(mutex_);
    brought_[worker] = mine;
    wait(lock);
    for (std::size_t i = 0; i < values.size(); i++) values[i] = static_cast<T>(brought_[0][i] + brought_[1][i]);
    wait(lock);
  }

 private:
  void wait(std::unique_lock<std::mutex> &lock) {
    const int round = round_;
    if (++here_ % 2 == 0) round_++, all_.notify_all();
    all_.wait(lock, [&] { return round_ != round; });
  }
  std::mutex mutex_;
  std::condition_variable all_;
  std::vector<double> brought_[2];
  int here_ = 0, round_ = 0;
};

int main() try {
  std::vector<nested::model> models;  // two workers, and one that reads everything
  models.emplace_back(nested::context(), nested::config(R"({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2})"), 3);
  models.push_back(models[0].clone());
  models.push_back(models[0].clone());
  std::vector<nested::trainer> trainers;
  for (nested::model &model : models) trainers.emplace_back(model, R"({"lr": 0.01, "schedule": {"type": "constant"}})");

  for (std::size_t step = 0; step < 5; step++) {
    const std::vector<std::int32_t> tokens = rows_of(step);
    trainers[0].accumulate({{tokens.data(), half * length}, half, length});
    trainers[1].accumulate({{tokens.data() + half * length, half * length}, half, length});

    // Out and in: sums over targets, so they add up, and so do the counts. The arrays are the trainers' own.
    auto mine = trainers[0].gradient(), theirs = trainers[1].gradient();
    for (std::size_t i = 0; i < mine.sum.size(); i++) mine.sum[i] = theirs.sum[i] = mine.sum[i] + theirs.sum[i];
    *mine.n_targets = *theirs.n_targets = *mine.n_targets + *theirs.n_targets;

    const nested_step applied = trainers[0].apply();
    trainers[1].apply();
    const nested_step whole = trainers[2].step({tokens, n_rows, length});
    std::printf("step %llu: %.0f targets, gradient norm %.6f; in one piece %.6f\n",
                static_cast<unsigned long long>(applied.step), applied.n_targets, applied.grad_norm, whole.grad_norm);
  }
  bool good = agree(models);

  // By name: a tensor's gradient starts at its flat_offset. Which part would learn most?
  const std::vector<std::int32_t> tokens = rows_of(5);
  trainers[0].accumulate({tokens, n_rows, length});
  const auto gradient = trainers[0].gradient();
  std::string most;
  double largest = 0;
  for (std::int64_t t = 0; t < models[0].tensor_count(); t++) {
    const nested_tensor_info tensor = models[0].tensor_at(t);
    double norm = 0;
    for (std::uint64_t i = 0; i < tensor.n_elements; i++)
      norm += std::pow(static_cast<double>(gradient.sum[tensor.flat_offset + i]) / *gradient.n_targets, 2);
    if (norm > largest) largest = norm, most = tensor.name;
  }
  trainers[0].zero();
  std::printf("the largest gradient is that of %s: %.4f\n", most.c_str(), std::sqrt(largest));

  // One more step, through a hook that step() calls with each piece of the gradient, and with the count of targets.
  meeting meet;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 2; worker++) {
    trainers[static_cast<std::size_t>(worker)].set_allreduce([worker, &meet](auto values) { meet.sum(worker, values); });
    threads.emplace_back([worker, &trainer = trainers[static_cast<std::size_t>(worker)], &tokens] {
      trainer.step({{tokens.data() + worker * half * length, half * length}, half, length});
    });
  }
  for (std::thread &thread : threads) thread.join();
  trainers[2].step({tokens, n_rows, length});
  std::printf("through the hook, ");
  return agree(models) && good ? 0 : 1;
} catch (const nested::error &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
