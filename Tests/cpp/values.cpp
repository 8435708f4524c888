// Spans, views, batches, structs, tokens: what is checked before the library is called.
#include "check.hpp"

#include <array>
#include <cstring>

static std::size_t size_of(nested::span<const std::int32_t> s) { return s.size(); }

int main() {
  // What becomes a span.
  std::vector<std::int32_t> vector{1, 2, 3};
  const std::array<std::int32_t, 4> array{1, 2, 3, 4};
  std::int32_t plain[] = {1, 2};
  CHECK(size_of(vector) == 3 && size_of(array) == 4 && size_of(plain) == 2);
  CHECK(size_of({}) == 0 && size_of({7}) == 1 && size_of({1, 2, 3, 4, 5}) == 5);
  CHECK(size_of(nested::span<std::int32_t>(vector)) == 3);  // a mutable one becomes a const one
  CHECK(nested::span<std::int32_t>(vector).data() == vector.data() && nested::span<std::int32_t>().empty());
  CHECK(nested::span<const std::int32_t>(plain)[1] == 2);
  int sum = 0;
  for (int one : nested::span<const std::int32_t>(array)) sum += one;
  CHECK(sum == 10);
  // What does not: other elements, const ones as mutable ones, lists as mutable ones.
  CHECK((!std::is_constructible_v<nested::span<const float>, std::vector<std::int32_t> &>));
  CHECK((!std::is_constructible_v<nested::span<std::int32_t>, const std::vector<std::int32_t> &>));
  CHECK((!std::is_constructible_v<nested::span<std::int32_t>, std::initializer_list<std::int32_t>>));

  // Structs begin as NESTED_INIT() leaves them.
  nested_sampling plain_struct;
  NESTED_INIT(plain_struct);
  nested::sampling sampling;
  CHECK(std::memcmp(&sampling, &plain_struct, sizeof plain_struct) == 0 && sizeof sampling == sizeof plain_struct);
  CHECK(nested::context_options().struct_size == sizeof(nested_context_options));

  // Views.
  std::vector<float> floats(12);
  nested_view view = nested::view(floats, {3, 4});
  CHECK(view.data == floats.data() && view.dtype == NESTED_F32 && view.ndim == 2);
  CHECK(view.shape[0] == 3 && view.shape[1] == 4 && view.strides[0] == 0 && view.strides[1] == 0);
  CHECK(nested::view(floats).ndim == 1 && nested::view(floats).shape[0] == 12 && nested::view(floats, {2, 2, 2}).ndim == 3);
  const std::vector<double> doubles(2);
  nested_cview cview = nested::view(doubles);
  CHECK(cview.data == doubles.data() && cview.dtype == NESTED_F64 && cview.shape[0] == 2);
  std::vector<std::uint16_t> halves(4);
  CHECK(nested::view(halves, {2, 2}, NESTED_BF16).dtype == NESTED_BF16);
  CHECK(nested::dtype_of<std::int64_t>() == NESTED_I64 && nested::dtype_of<const std::uint8_t>() == NESTED_U8);
  CHECK(nested::dtype_size(NESTED_BF16) == 2 && nested::dtype_size(99) == 0);
  FAILS(NESTED_E_DTYPE, nested::view(halves, {4}, NESTED_F32));
  FAILS(NESTED_E_SHAPE, nested::view(floats, {13}));
  FAILS(NESTED_E_SHAPE, nested::view(floats, {3, 5}));
  FAILS(NESTED_E_SHAPE, nested::view(floats, {INT64_MAX, INT64_MAX}));  // no overflow
  FAILS(NESTED_E_RANGE, nested::view(floats, {-1}));
  FAILS(NESTED_E_RANGE, nested::view(floats, {1, 1, 1, 1, 1, 1, 1}));
  std::vector<float> none;
  FAILS(NESTED_E_SHAPE, nested::view(none, {2}));
  CHECK(nested::view(none).shape[0] == 0 && nested::view(none, {5, 0}).ndim == 2);

  // Batches borrow, and fit.
  nested::batch batch(vector, 1, 3);
  CHECK(batch.tokens == vector.data() && batch.targets == nullptr && batch.weights == nullptr);
  CHECK(batch.struct_size == sizeof(nested_batch) && batch.n_seq == 1 && batch.seq_len == 3);
  const float weights[] = {1, 0, 1};
  CHECK(nested::batch(vector, 3, 1, vector, weights).weights == weights);
  FAILS(NESTED_E_SHAPE, nested::batch(vector, 2, 2));
  FAILS(NESTED_E_SHAPE, nested::batch(vector, 0, 3));
  FAILS(NESTED_E_SHAPE, nested::batch(vector, -1, -3));
  FAILS(NESTED_E_SHAPE, nested::batch(vector, INT64_MAX, INT64_MAX));
  CHECK(THROWS(nested::error, nested::batch(vector, 1, 3, plain)).place() == "targets");
  CHECK(THROWS(nested::error, nested::batch(vector, 1, 3, {}, {1.0f})).place() == "weights");

  // Bytes and tokens.
  std::string bytes("a\0\xff", 3);
  CHECK((nested::to_tokens(bytes) == std::vector<std::int32_t>{97, 0, 255}) && nested::to_text({97, 0, 255}) == bytes);

  // The library says what the header says.
  CHECK(nested::version() == NESTED_VERSION && nested::abi() == NESTED_ABI && nested::version_string()[0] == '1');
  CHECK(std::string(nested::build_info()).front() == '{' && std::string(nested::abi_info()).front() == '{');
  CHECK(nested::has_feature("kind.hope") && !nested::has_feature("kind.despair"));
  return done();
}
