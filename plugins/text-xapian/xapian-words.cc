#include "xapian-words.h"

#include <utility>

namespace ragify_xapian {

namespace {

constexpr size_t entry_bytes = 160; // of the table, the string and the list's head, about

} // namespace

std::shared_ptr<const Postings>
Words::find (const std::string &term, uint64_t commits)
{
  std::lock_guard<std::mutex> guard (mutex);
  if (state != commits)
    return nullptr;
  auto place = known.find (term);
  return place != known.end () ? place->second : nullptr;
}

void
Words::keep (const std::string &term, uint64_t commits, std::shared_ptr<const Postings> postings)
{
  size_t size = entry_bytes + term.size () + postings->all.capacity () * sizeof (Posting);
  std::lock_guard<std::mutex> guard (mutex);
  if (commits < state)
    return;
  if (commits != state || bytes + size > bytes_limit) {
    known.clear ();
    bytes = 0;
    state = commits;
  }
  if (known.emplace (term, std::move (postings)).second)
    bytes += size;
}

} // namespace ragify_xapian
