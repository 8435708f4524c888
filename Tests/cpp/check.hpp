// What every C++ test program shares. A failed check says where and ends the program with 1; a program that gets through
// prints "ok N".
#ifndef CHECK_HPP
#define CHECK_HPP

#include <nested.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

inline int checks_done = 0;

inline void check_failed(const char *file, int line, const char *what, const char *more = "") {
  std::fprintf(stderr, "%s:%d: %s %s\n", file, line, what, more);
  std::exit(1);
}

#define CHECK(condition)                                           \
  do {                                                             \
    checks_done++;                                                 \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition); \
  } while (0)

// Throws exactly this class, which then is `thrown` in the block that follows.
template <class E, class F>
E expect_throw(F &&f, const char *file, int line, const char *what) {
  checks_done++;
  try {
    f();
  } catch (const E &e) {
    if (typeid(e) != typeid(E)) check_failed(file, line, what, "threw a derived class");
    return e;
  } catch (const std::exception &e) {
    check_failed(file, line, what, e.what());
  }
  check_failed(file, line, what, "threw nothing");
  std::abort();
}
#define THROWS(E, ...) expect_throw<E>([&] { __VA_ARGS__; }, __FILE__, __LINE__, #__VA_ARGS__)
#define FAILS(wanted, ...) CHECK(THROWS(nested::error, __VA_ARGS__).status() == (wanted))

inline int done() {
  CHECK(nested::live_handles() == 0);
  std::printf("ok %d\n", checks_done);
  return 0;
}

inline constexpr int vocab = 32;
inline constexpr const char *small_config =
    R"({"kind":"hope","vocab":32,"d_model":32,"n_layers":2,"head_dim":16,"segment":8,
        "memory":{"memory_chunk":4,"projection_chunk":4},
        "cms":{"levels":[{"chunk":8,"hidden":32,"lr":0.1},{"chunk":16,"hidden":32,"lr":0.05},{"chunk":0,"hidden":32}]}})";

inline nested::context make_context(int threads = 1) {
  nested::context_options options;
  options.n_threads = threads;
  return nested::context(options);
}
inline nested::model make_model(std::uint64_t seed = 1) { return {make_context(), nested::config(small_config), seed}; }

// A text with some order in it.
inline std::vector<std::int32_t> some_tokens(std::size_t n, std::uint32_t seed = 1) {
  std::vector<std::int32_t> tokens;
  std::uint32_t state = seed * 2654435761u + 1u;
  for (std::size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back(i > 1 && state >> 30 ? (tokens.back() + 3) % vocab : static_cast<std::int32_t>((state >> 16) % vocab));
  }
  return tokens;
}

// A folder that goes away with its files.
struct scratch {
  std::filesystem::path folder;
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "nested-cpp-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) check_failed(__FILE__, __LINE__, "mkdtemp");
    folder = name;
  }
  ~scratch() { std::filesystem::remove_all(folder); }
  std::string operator()(const char *name) const { return folder / name; }
};

#endif
