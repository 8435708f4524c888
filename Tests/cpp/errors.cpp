// Failures are exceptions that carry everything nested_error has.
#include "check.hpp"

#include <cerrno>

static void test() {
  nested::context context = make_context();

  nested::error e = THROWS(nested::error, nested::config(R"({"kind":"hope","vocab":256,"d_modell":64})"));
  CHECK(e.status() == NESTED_E_CONFIG && e.place() == "/d_modell" && e.function() == "nested_config_from_json");
  CHECK(!e.message().empty() && e.os_error() == 0 && e.callback_code() == 0 && e.committed() == 0);
  CHECK(e.what() == "nested_config_from_json: NESTED_E_CONFIG: " + e.message() + " (/d_modell)");

  e = THROWS(nested::error, nested::config(R"({"kind": hope})"));
  CHECK(e.status() == NESTED_E_PARSE && e.offset() >= 9 && e.offset() <= 14);
  FAILS(NESTED_E_PARSE, nested::config(std::string_view("{\"vocab\": 256}", 5)));  // the length counts, not a NUL

  e = THROWS(nested::error, nested::model::load(context, "/nowhere/at/all"));
  CHECK(e.status() == NESTED_E_IO && e.os_error() == ENOENT && e.function() == "nested_model_load");

  // By the base classes, by copy, and copies do not throw.
  CHECK(std::is_nothrow_copy_constructible_v<nested::error> && std::is_nothrow_copy_assignable_v<nested::error>);
  try {
    nested::config::defaults(99);
    CHECK(false);
  } catch (const std::runtime_error &caught) {
    CHECK(dynamic_cast<const nested::error &>(caught).status() == NESTED_E_RANGE);
  }

  // A later failure does not change what an exception says; success neither.
  const std::string before = e.what();
  FAILS(NESTED_E_NOT_FOUND, nested::config::defaults().get_int("/no/such/key"));
  CHECK(e.what() == before);

  // For calls of the C interface.
  nested::check(nested_cancel_clear(nested::cancel().native()));
  FAILS(NESTED_E_HANDLE, nested::check(nested_cancel_clear(nullptr)));
  CHECK(THROWS(nested::error, nested::check(nested_cancel_clear(nullptr))).function() == "nested_cancel_clear");

  // Cancelling is a class of its own, and an error; it says how much was done.
  nested::model model(context, nested::config(small_config), 1);
  nested::session session(model);
  nested::cancel stop;
  CHECK(!stop.is_raised());
  stop.raise();
  CHECK(stop.is_raised());
  nested::cancelled c = THROWS(nested::cancelled, session.feed(some_tokens(20), stop));
  CHECK(c.status() == NESTED_E_CANCELLED && c.committed() == 0 && session.info().position == 0);
  stop.clear();
  CHECK(session.feed(some_tokens(20), stop).n_consumed == 20);
  std::uint64_t steps = 0;
  c = THROWS(nested::cancelled, nested::trainer(model).fit(some_tokens(200), 50, 2, 8, [&](const nested_progress &p) {
    steps = p.done;
    return steps == 3;
  }));
  CHECK(steps == 3 && c.committed() == 3);
  const std::vector<std::int32_t> wrong{1, 2, vocab};
  CHECK(THROWS(nested::error, session.feed(wrong)).status() == NESTED_E_RANGE);
  CHECK(session.info().position == 20);
}

int main() {
  test();
  return done();
}
