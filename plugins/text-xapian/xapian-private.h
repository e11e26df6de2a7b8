/* The parts of the index on Xapian, for its own files. */
#ifndef RAGIFY_XAPIAN_PRIVATE_H
#define RAGIFY_XAPIAN_PRIVATE_H

#include "xapian-index.h"
#include "xapian-words.h"

#include "tokenizer.h"

#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <xapian.h>

namespace ragify_xapian {

constexpr Xapian::valueno id_slot = 0;

struct RosterFree {
  void operator() (RagifyRoster *roster) const
  {
    ragify_roster_free (roster);
  }
};

using Roster = std::shared_ptr<RagifyRoster>;

inline Roster
make_roster ()
{
  RagifyRoster *roster = ragify_roster_new ();
  if (roster == nullptr)
    throw std::bad_alloc ();
  return Roster (roster, RosterFree ());
}

/* What one thread searches with. */
struct Reader {
  Xapian::Database database;
  uint64_t commits = 0; // that it has seen
  Roster roster;        // of the same database
  Xapian::Stem stem;
  RagifyAccumulator accumulator = {};

  Reader () = default;
  Reader (const Reader &) = delete;
  Reader &operator= (const Reader &) = delete;
  ~Reader ()
  {
    ragify_accumulator_clear (&accumulator);
  }
};

struct Word {
  std::string term;
  uint32_t times;
  double frequency;
  std::shared_ptr<const Postings> postings = nullptr; // NULL: `posting` reads them
  size_t next = 0;                                    // of the postings
  Xapian::PostingIterator posting = {};
};

/* Thrown where the caller gave up. */
struct Cancelled {};

/* Thrown where what lies in the folder is somebody else's. */
struct Foreign : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/* What was thrown, as a fault; false. Marks a damaged database, so that the next start makes it anew. */
bool explain (const RagifyTextIndex &index, RagifyFault *fault);

/* Takes words one by one out of C; an exception must not pass through there. */
template <typename Take> struct Sink {
  Take take;
  std::exception_ptr failure;

  static bool call (void *user, const RagifyToken *token)
  {
    Sink *self = static_cast<Sink *> (user);
    try {
      self->take (*token);
      return true;
    } catch (...) {
      self->failure = std::current_exception ();
      return false;
    }
  }
};

template <typename Take>
void
for_each_word (RagifyStr text, RagifyTokenizePurpose purpose, Take take)
{
  Sink<Take> sink = { take, nullptr };
  ragify_tokenize (text, purpose, Sink<Take>::call, &sink);
  if (sink.failure)
    std::rethrow_exception (sink.failure);
}

} // namespace ragify_xapian

struct RagifyTextIndex {
  std::string folder;
  std::string language;
  RagifyTextOptions options;
  std::string read_only;

  std::mutex writing; // held by the one who writes
  std::unique_ptr<Xapian::WritableDatabase> writer;
  uint64_t pending = 0; // chunks that were written and not committed
  Xapian::Stem stem;    // the writer's

  ragify_xapian::Words lately; // asked for

  std::mutex mutex; // guards what follows
  uint64_t commits = 1;
  ragify_xapian::Roster roster;
  RagifyGeneration generation = {};
  uint64_t chunks = 0;
  std::vector<std::unique_ptr<ragify_xapian::Reader> > idle;

  explicit RagifyTextIndex (const RagifyTextOptions &given)
      : folder (given.folder), language (given.language), options (given), stem (make_stem ())
  {
  }

  Xapian::Stem make_stem () const
  {
    return language == "none" ? Xapian::Stem () : Xapian::Stem (language);
  }

  bool is_english () const
  {
    return language == "en" || language == "english" || language == "porter" || language == "lovins";
  }

  /* What must be the same for a database to be of use. */
  std::string format () const
  {
    return "1;words " + std::to_string (RAGIFY_TOKENIZER_VERSION) + ";" + language + ";title " +
           std::to_string (options.title_weight);
  }

  void say (uint32_t level, const std::string &message) const
  {
    options.log (options.log_user, level, message.c_str ());
  }

  std::string damage_mark () const
  {
    return folder + "/damaged";
  }

  void open ();
  void open_writer (int flags);
  void start_anew (const std::string &why);
  void load ();
  void commit_pending ();
  bool is_at (const RagifyGeneration &other) const;
  void write (const RagifyTextCaller &caller, const RagifyGeneration &after, uint64_t count,
              void (RagifyTextIndex::*change) (const RagifyTextCaller &, const void *), const void *args);
  void change_chunks (const RagifyTextCaller &caller, const void *args);
  void remove_chunks (const RagifyTextCaller &caller, const void *args);
  void add_chunk (const RagifyChunk &chunk);
  uint32_t add_text (Xapian::Document &document, RagifyStr text, uint32_t weight);
  void clear (const RagifyGeneration &after);
  std::string term_of (const RagifyToken &token, const Xapian::Stem &with) const;
  std::vector<ragify_xapian::Word> read_query (const ragify_xapian::Reader &reader, RagifyStr text);
  void open_words (ragify_xapian::Reader &reader, std::vector<ragify_xapian::Word> &words);
  void add_words (ragify_xapian::Reader &reader, std::vector<ragify_xapian::Word> &words, uint32_t past);
  std::shared_ptr<const ragify_xapian::Postings>
  read_postings (const ragify_xapian::Reader &reader, const ragify_xapian::Word &word);
  std::unique_ptr<ragify_xapian::Reader> borrow ();
  void give_back (std::unique_ptr<ragify_xapian::Reader> reader);
  bool search (const RagifyTextCaller &caller, const RagifyTextSearch &args, RagifyHit *hits, uint32_t *found,
               RagifyFault *fault);
  void look_up (const RagifyTextCaller &caller, ragify_xapian::Reader &reader, const RagifyTextSearch &args,
                RagifyHit *hits, uint32_t *found);
};

#endif
