#include "lists.h"

#include <algorithm>
#include <numeric>

namespace ragify {

Lists::Lists (faiss::ArrayInvertedLists &from, uint64_t *order)
    : faiss::ReadOnlyInvertedLists (from.nlist, from.code_size), starts (from.nlist + 1)
{
  for (size_t list = 0; list < nlist; list++)
    starts[list + 1] = starts[list] + from.list_size (list);
  owned.reset (new uint8_t[count () * code_size]); /* not zeroed: lists go as it fills */
  codes = owned.get ();
  for (size_t list = 0; list < nlist; list++) {
    std::copy_n (from.get_codes (list), list_size (list) * code_size, &owned[starts[list] * code_size]);
    std::copy_n (from.get_ids (list), list_size (list), order + starts[list]);
    from.codes[list] = {};
    from.ids[list] = {};
  }
}

Lists::Lists (size_t lists, size_t size, const uint64_t *counts, const uint8_t *where)
    : faiss::ReadOnlyInvertedLists (lists, size), starts (lists + 1), codes (where)
{
  std::partial_sum (counts, counts + lists, starts.begin () + 1);
}

size_t
Lists::list_size (size_t list) const
{
  return starts[list + 1] - starts[list];
}

const uint8_t *
Lists::get_codes (size_t list) const
{
  return codes + starts[list] * code_size;
}

const faiss::idx_t *
Lists::get_ids (size_t list) const
{
  auto *ids = new faiss::idx_t[list_size (list) + 1];
  std::iota (ids, ids + list_size (list), static_cast<faiss::idx_t> (starts[list]));
  return ids;
}

void
Lists::release_ids (size_t, const faiss::idx_t *ids) const
{
  delete[] ids;
}

faiss::idx_t
Lists::get_single_id (size_t list, size_t offset) const
{
  return static_cast<faiss::idx_t> (starts[list] + offset);
}

std::pair<faiss::idx_t, faiss::idx_t>
Lists::find (uint64_t row) const
{
  const auto after = std::upper_bound (starts.begin (), starts.end (), row);
  const auto list = after - starts.begin () - 1;
  return { list, static_cast<faiss::idx_t> (row - starts[static_cast<size_t> (list)]) };
}

} // namespace ragify
