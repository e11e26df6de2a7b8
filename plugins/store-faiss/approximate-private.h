/* The inside of an approximate index, for the files that it is made of.
 *
 *   approximate.cc         making it; to and from files
 *   approximate-search.cc  searching it */
#ifndef RAGIFY_APPROXIMATE_PRIVATE_H
#define RAGIFY_APPROXIMATE_PRIVATE_H

#include "approximate.h"
#include "lists.h"

#include <memory>

#include <faiss/Index.h>

struct RagifyApproximate {
  RagifyApproximate () = default;
  RagifyApproximate (const RagifyApproximate &) = delete;
  RagifyApproximate &operator= (const RagifyApproximate &) = delete;
  ~RagifyApproximate ()
  {
    index.reset (); /* it looks into the mapping */
    ragify_mapping_close (&mapping);
  }

  std::unique_ptr<faiss::Index> index;
  const ragify::Lists *lists = nullptr; /* the index's own, of an IVF index that is finished */
  RagifyMapping mapping = {};
};

namespace ragify {

/* FAISS would start a thread for each core: the host decides how many threads work, so each call has one. */
void use_one_thread ();

/* What was thrown, as a fault. */
bool explain (RagifyFault *fault);

} // namespace ragify

#endif
