/* The lists of an IVF index, packed: one after the other in one piece of memory, which may be a mapped file, and with
 * rows numbered as they lie there; so neither numbers nor places of rows are kept. Immutable. */
#ifndef RAGIFY_LISTS_H
#define RAGIFY_LISTS_H

#include <memory>
#include <utility>
#include <vector>

#include <faiss/invlists/InvertedLists.h>

namespace ragify {

class Lists final : public faiss::ReadOnlyInvertedLists {
public:
  /* Of the lists of an index, which are emptied on the way, so that memory does not double. order[row] becomes the
   * number that the row had there. */
  Lists (faiss::ArrayInvertedLists &from, uint64_t *order);

  /* Of codes that lie elsewhere, and stay there; counts[list] rows each. */
  Lists (size_t nlist, size_t code_size, const uint64_t *counts, const uint8_t *codes);

  size_t list_size (size_t list) const override;
  const uint8_t *get_codes (size_t list) const override;
  const faiss::idx_t *get_ids (size_t list) const override;
  void release_ids (size_t list, const faiss::idx_t *ids) const override;
  faiss::idx_t get_single_id (size_t list, size_t offset) const override;

  /* The list that a row is in, and its place there. */
  std::pair<faiss::idx_t, faiss::idx_t> find (uint64_t row) const;

  /* The first row of a list, or behind the last one. */
  uint64_t first (size_t list) const
  {
    return starts[list];
  }
  uint64_t count () const
  {
    return starts.back ();
  }
  const uint8_t *bytes () const
  {
    return codes;
  }

private:
  std::vector<uint64_t> starts; /* of each list, and where the last one ends */
  std::unique_ptr<uint8_t[]> owned;
  const uint8_t *codes;
};

} // namespace ragify

#endif
