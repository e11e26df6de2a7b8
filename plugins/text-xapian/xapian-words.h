/* Words that were asked for lately, with their postings decoded: where a word stands in hundreds of chunks, reading
 * that out of Xapian's blocks is most of a search. */
#ifndef RAGIFY_XAPIAN_WORDS_H
#define RAGIFY_XAPIAN_WORDS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace ragify_xapian {

struct Posting {
  uint32_t number; // of the chunk
  uint32_t times;
};

struct Postings {
  double frequency = 0;
  std::vector<Posting> all;
};

/* Good for one state of the index, a number that every commit changes; bounded, and started anew when it is full. [any]
 */
class Words {
public:
  static constexpr size_t bytes_limit = 8 << 20;
  static constexpr double frequency_limit = 64 << 10; // of a word that is kept

  /* NULL: not here. */
  std::shared_ptr<const Postings> find (const std::string &term, uint64_t commits);

  /* Keeps what was read in that state, or after it. */
  void keep (const std::string &term, uint64_t commits, std::shared_ptr<const Postings> postings);

private:
  std::mutex mutex; // guards what follows
  uint64_t state = 0;
  size_t bytes = 0;
  std::unordered_map<std::string, std::shared_ptr<const Postings> > known;
};

} // namespace ragify_xapian

#endif
