#include "xapian-index.h"

#include "tokenizer.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

#include <xapian.h>

namespace {

constexpr Xapian::valueno id_slot = 0;
constexpr size_t query_words = 128; // of one query that count; of more, the rarest
constexpr size_t idle_readers = 64;
constexpr int attempts = 5; // of a search that a writer overtakes
constexpr auto lock_poll = std::chrono::milliseconds (20);

struct RosterFree {
  void operator() (RagifyRoster *roster) const
  {
    ragify_roster_free (roster);
  }
};

using Roster = std::shared_ptr<RagifyRoster>;

Roster
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
};

bool
set_fault (RagifyFault *fault, int32_t code, const std::string &message)
{
  return ragify_fault_set (fault, code, "%s", message.c_str ());
}

std::string
describe (const Xapian::Error &error)
{
  const char *cause = error.get_error_string ();
  return error.get_msg () + (cause != nullptr ? std::string (" (") + cause + ")" : "");
}

std::string
unique_term (const RagifyUuid &id)
{
  return std::string ("Q") + std::string (reinterpret_cast<const char *> (id.bytes), sizeof id.bytes);
}

std::string
encode_generation (const RagifyGeneration &generation)
{
  char bytes[24];
  memcpy (bytes, generation.store.bytes, 16);
  for (int i = 0; i < 8; i++)
    bytes[16 + i] = static_cast<char> (generation.counter >> (8 * i) & 0xff);
  return std::string (bytes, sizeof bytes);
}

RagifyGeneration
decode_generation (const std::string &bytes)
{
  RagifyGeneration generation = {};
  if (bytes.size () != 24)
    return generation;
  memcpy (generation.store.bytes, bytes.data (), 16);
  for (int i = 0; i < 8; i++)
    generation.counter |= static_cast<uint64_t> (static_cast<unsigned char> (bytes[16 + i])) << (8 * i);
  return generation;
}

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

} // namespace

struct RagifyTextIndex {
  std::string folder;
  std::string language;
  RagifyTextOptions options;
  std::string read_only;

  std::mutex writing; // held by the one who writes
  std::unique_ptr<Xapian::WritableDatabase> writer;
  Xapian::Stem stem; // the writer's

  std::mutex mutex; // guards what follows
  uint64_t commits = 1;
  Roster roster;
  RagifyGeneration generation = {};
  uint64_t chunks = 0;
  std::vector<std::unique_ptr<Reader> > idle;

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
  void forget_readers ();
  void write (const RagifyTextCaller &caller, const RagifyGeneration &after,
              void (RagifyTextIndex::*change) (const RagifyTextCaller &, const void *), const void *args);
  void change_chunks (const RagifyTextCaller &caller, const void *args);
  void remove_chunks (const RagifyTextCaller &caller, const void *args);
  void add_chunk (const RagifyChunk &chunk);
  uint32_t add_text (Xapian::Document &document, RagifyStr text, uint32_t weight);
  void clear (const RagifyGeneration &after);
  std::string term_of (const RagifyToken &token, const Xapian::Stem &with) const;
  std::vector<Word> read_query (const Reader &reader, RagifyStr text) const;
  std::unique_ptr<Reader> borrow ();
  void give_back (std::unique_ptr<Reader> reader);
  void look_up (Reader &reader, const RagifyTextSearch &args, RagifyHit *hits, uint32_t *found) const;
};

namespace {

struct Cancelled {};

/* The folder, and those above it. */
void
make_folders (const std::string &path)
{
  for (size_t slash = path.find ('/', 1); slash != std::string::npos; slash = path.find ('/', slash + 1))
    (void)mkdir (path.substr (0, slash).c_str (), 0750);
  (void)mkdir (path.c_str (), 0750);
}

/* Turns what was thrown into a fault, and marks a damaged database, so that the next start makes it anew. */
bool
explain (const RagifyTextIndex &index, RagifyFault *fault)
{
  try {
    throw;
  } catch (const Cancelled &) {
    return set_fault (fault, RAGIFY_E_CANCELLED, "the caller gave up; nothing was changed");
  } catch (const Xapian::DatabaseLockError &error) {
    return set_fault (fault, RAGIFY_E_UNAVAILABLE,
                      index.folder +
                          ": another process has this index open; stop it, or give this one a path of its "
                          "own (" +
                          describe (error) + ")");
  } catch (const Xapian::DatabaseCorruptError &error) {
    FILE *mark = fopen (index.damage_mark ().c_str (), "w");
    if (mark != nullptr)
      (void)fclose (mark);
    return set_fault (fault, RAGIFY_E_INTERNAL,
                      index.folder + ": the index is damaged; it is made anew at the next start (" + describe (error) +
                          ")");
  } catch (const Xapian::Error &error) {
    const char *cause = error.get_error_string ();
    bool full = cause != nullptr && (strcmp (cause, strerror (ENOSPC)) == 0 || strcmp (cause, strerror (EDQUOT)) == 0);
    return set_fault (fault, full ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE,
                      index.folder + ": " + (full ? "the disk is full: " : "") + describe (error));
  } catch (const std::bad_alloc &) {
    return ragify_fault_memory (fault);
  } catch (const std::exception &error) {
    return set_fault (fault, RAGIFY_E_INTERNAL, index.folder + ": " + error.what ());
  }
}

} // namespace

void
RagifyTextIndex::open_writer (int flags)
{
  auto until = std::chrono::steady_clock::now () + std::chrono::microseconds (options.lock_wait_us);
  writer.reset ();
  for (;;) {
    try {
      writer = std::make_unique<Xapian::WritableDatabase> (folder, flags | Xapian::DB_BACKEND_GLASS);
      return;
    } catch (const Xapian::DatabaseLockError &) {
      if (std::chrono::steady_clock::now () >= until)
        throw;
      std::this_thread::sleep_for (lock_poll);
    }
  }
}

/* An empty database, whatever is there now: the host fills it from the store. */
void
RagifyTextIndex::start_anew (const std::string &why)
{
  if (!why.empty ())
    say (RAGIFY_LOG_WARNING, folder + ": the index is made anew: " + why);
  open_writer (Xapian::DB_CREATE_OR_OVERWRITE);
  writer->set_metadata ("format", format ());
  writer->commit ();
  (void)unlink (damage_mark ().c_str ());
}

void
RagifyTextIndex::open ()
{
  make_folders (folder);
  if (access (folder.c_str (), W_OK) != 0) {
    read_only = strerror (errno);
    Xapian::Database database (folder);
    if (database.get_metadata ("format") != format ())
      throw Xapian::InvalidArgumentError ("it was made with other settings, and the folder is read-only");
    load ();
    return;
  }
  try {
    open_writer (Xapian::DB_CREATE_OR_OPEN);
    std::string found = writer->get_metadata ("format");
    bool damaged = access (damage_mark ().c_str (), F_OK) == 0;
    if (damaged)
      start_anew ("a part of it could not be read");
    else if (found.empty () && writer->get_lastdocid () == 0)
      start_anew ("");
    else if (found != format ())
      start_anew ("it was made with '" + found + "', the settings are now '" + format () + "'");
    load ();
  } catch (const Xapian::DatabaseLockError &) {
    throw;
  } catch (const Xapian::DatabaseError &error) {
    start_anew (describe (error));
    load ();
  }
}

/* Ids and lengths of all chunks, into memory. */
void
RagifyTextIndex::load ()
{
  Xapian::Database database (folder);
  Roster fresh = make_roster ();
  auto posting = database.postlist_begin ("");
  auto value = database.valuestream_begin (id_slot);
  for (; posting != database.postlist_end (""); ++posting, ++value) {
    if (value == database.valuestream_end (id_slot) || value.get_docid () != *posting ||
        (*value).size () != sizeof (RagifyUuid))
      throw Xapian::DatabaseCorruptError ("ids and chunks do not agree");
    RagifyUuid id;
    memcpy (id.bytes, (*value).data (), sizeof id.bytes);
    if (!ragify_roster_set (fresh.get (), *posting, &id, std::max<uint32_t> (posting.get_doclength (), 1)))
      throw std::bad_alloc ();
  }
  std::lock_guard<std::mutex> guard (mutex);
  roster = fresh;
  chunks = database.get_doccount ();
  generation = decode_generation (database.get_metadata ("generation"));
  commits++;
}

std::string
RagifyTextIndex::term_of (const RagifyToken &token, const Xapian::Stem &with) const
{
  std::string text (token.text, token.size);
  return token.word ? with (text) : text;
}

uint32_t
RagifyTextIndex::add_text (Xapian::Document &document, RagifyStr text, uint32_t weight)
{
  /* Counted first: adding to a document looks each word up. */
  std::unordered_map<std::string, uint32_t> words;
  uint32_t length = 0;
  for_each_word (text, RAGIFY_TOKENIZE_DOCUMENT, [&] (const RagifyToken &token) {
    words[term_of (token, stem)]++;
    length++;
  });
  for (const auto &word : words)
    if (!word.first.empty ())
      document.add_term (word.first, word.second * weight);
  return length * weight;
}

void
RagifyTextIndex::add_chunk (const RagifyChunk &chunk)
{
  Xapian::Document document;
  uint32_t length = add_text (document, chunk.content, 1);
  if (options.title_weight > 0)
    length += add_text (document, chunk.title, options.title_weight);
  document.add_boolean_term (unique_term (chunk.id));
  document.add_value (id_slot, std::string (reinterpret_cast<const char *> (chunk.id.bytes), sizeof chunk.id.bytes));
  Xapian::docid number = writer->add_document (document);
  /* Nobody can know the number before the commit. */
  if (!ragify_roster_set (roster.get (), number, &chunk.id, std::max<uint32_t> (length, 1)))
    throw std::bad_alloc ();
}

void
RagifyTextIndex::change_chunks (const RagifyTextCaller &caller, const void *args)
{
  const auto *upsert = static_cast<const RagifyTextUpsert *> (args);
  for (uint64_t i = 0; i < upsert->removed.count; i++)
    writer->delete_document (unique_term (upsert->removed.items[i]));
  const char *item = reinterpret_cast<const char *> (upsert->chunks.items);
  for (uint64_t i = 0; i < upsert->chunks.count; i++, item += upsert->chunks.stride) {
    if (caller.cancelled (caller.user))
      throw Cancelled ();
    const auto &chunk = *reinterpret_cast<const RagifyChunk *> (item);
    writer->delete_document (unique_term (chunk.id));
    add_chunk (chunk);
  }
}

void
RagifyTextIndex::remove_chunks (const RagifyTextCaller &caller, const void *args)
{
  const auto *removal = static_cast<const RagifyTextRemove *> (args);
  for (uint64_t i = 0; i < removal->ids.count; i++) {
    if (caller.cancelled (caller.user))
      throw Cancelled ();
    writer->delete_document (unique_term (removal->ids.items[i]));
  }
}

/* One batch, with the generation, in one commit. Whatever fails, the writer is opened anew before the next. */
void
RagifyTextIndex::write (const RagifyTextCaller &caller, const RagifyGeneration &after,
                        void (RagifyTextIndex::*change) (const RagifyTextCaller &, const void *), const void *args)
{
  if (writer == nullptr)
    open_writer (Xapian::DB_OPEN);
  try {
    writer->begin_transaction ();
    (this->*change) (caller, args);
    writer->set_metadata ("generation", encode_generation (after));
    writer->commit_transaction ();
  } catch (...) {
    writer.reset ();
    throw;
  }
  std::lock_guard<std::mutex> guard (mutex);
  commits++;
  chunks = writer->get_doccount ();
  generation = after;
}

void
RagifyTextIndex::clear (const RagifyGeneration &after)
{
  start_anew ("");
  writer->set_metadata ("generation", encode_generation (after));
  writer->commit ();
  Roster fresh = make_roster ();
  std::lock_guard<std::mutex> guard (mutex);
  roster = fresh;
  commits++;
  chunks = 0;
  generation = after;
  idle.clear ();
}

/* A reader that has seen the last commit. */
std::unique_ptr<Reader>
RagifyTextIndex::borrow ()
{
  std::unique_ptr<Reader> reader;
  Roster current;
  uint64_t seen;
  {
    std::lock_guard<std::mutex> guard (mutex);
    if (!idle.empty ()) {
      reader = std::move (idle.back ());
      idle.pop_back ();
    }
    current = roster;
    seen = commits;
  }
  if (reader == nullptr || reader->roster != current) {
    reader = std::make_unique<Reader> ();
    reader->database = Xapian::Database (folder);
    reader->stem = make_stem ();
  } else if (reader->commits != seen) {
    reader->database.reopen ();
  }
  reader->commits = seen;
  reader->roster = current;
  return reader;
}

void
RagifyTextIndex::give_back (std::unique_ptr<Reader> reader)
{
  std::lock_guard<std::mutex> guard (mutex);
  if (reader->roster == roster && idle.size () < idle_readers)
    idle.push_back (std::move (reader));
}

/* The words that count, with how often they stand in the query and in the index. */
std::vector<Word>
RagifyTextIndex::read_query (const Reader &reader, RagifyStr text) const
{
  std::unordered_map<std::string, uint32_t> all;
  std::unordered_map<std::string, uint32_t> telling;
  for_each_word (text, RAGIFY_TOKENIZE_QUERY, [&] (const RagifyToken &token) {
    std::string term = term_of (token, reader.stem);
    all[term]++;
    if (!is_english () || !ragify_is_stop_word (token.text, token.size))
      telling[term]++;
  });
  std::vector<Word> words;
  for (const auto &word : telling.empty () ? all : telling) {
    double frequency = word.first.empty () ? 0 : reader.database.get_termfreq (word.first);
    if (frequency > 0)
      words.push_back ({ word.first, word.second, frequency });
  }
  auto rarer = [] (const Word &left, const Word &right) {
    return left.frequency != right.frequency ? left.frequency < right.frequency : left.term < right.term;
  };
  std::sort (words.begin (), words.end (), rarer);
  if (words.size () > query_words)
    words.resize (query_words);
  return words;
}

void
RagifyTextIndex::look_up (Reader &reader, const RagifyTextSearch &args, RagifyHit *hits, uint32_t *found) const
{
  Xapian::Database &database = reader.database;
  std::vector<Word> words = read_query (reader, args.text);
  double total = database.get_doccount ();
  if (!ragify_accumulator_begin (&reader.accumulator, reader.roster.get (), database.get_lastdocid () + 1,
                                 &options.bm25, database.get_avlength ()))
    throw std::bad_alloc ();
  try {
    for (const Word &word : words) {
      ragify_accumulator_word (&reader.accumulator, word.frequency, total, word.times);
      auto end = database.postlist_end (word.term);
      for (auto posting = database.postlist_begin (word.term); posting != end; ++posting)
        ragify_accumulator_add (&reader.accumulator, *posting, posting.get_wdf ());
    }
  } catch (...) {
    ragify_accumulator_abandon (&reader.accumulator);
    throw;
  }
  if (!ragify_accumulator_end (&reader.accumulator, args.top_k, hits, found))
    throw std::bad_alloc ();
}

namespace {

bool
check_language (const char *language, RagifyFault *fault)
{
  if (strcmp (language, "none") == 0)
    return true;
  try {
    Xapian::Stem stem (language);
    return true;
  } catch (const Xapian::Error &) {
    return set_fault (fault, RAGIFY_E_INVALID,
                      std::string ("language: expected none or one of ") + Xapian::Stem::get_available_languages () +
                          ", or its two-letter code; found '" + language + "'");
  }
}

RagifyTextIndex *
open_index (const RagifyTextOptions *options, RagifyFault *fault)
{
  auto index = std::make_unique<RagifyTextIndex> (*options);
  try {
    index->open ();
    return index.release ();
  } catch (...) {
    explain (*index, fault);
    return nullptr;
  }
}

void
close_index (RagifyTextIndex *index)
{
  delete index;
}

const char *
why_read_only (RagifyTextIndex *index)
{
  return index->read_only.empty () ? nullptr : index->read_only.c_str ();
}

bool
may_write (const RagifyTextIndex &index, RagifyFault *fault)
{
  return index.read_only.empty () ||
         set_fault (fault, RAGIFY_E_UNAVAILABLE,
                    index.folder + ": nothing can be written, the folder is read-only (" + index.read_only + ")");
}

bool
upsert (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextUpsert *args, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    index->write (*caller, args->generation, &RagifyTextIndex::change_chunks, args);
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

bool
remove_some (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextRemove *args, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    if ((args->flags & RAGIFY_TEXT_REMOVE_ALL) != 0)
      index->clear (args->generation);
    else
      index->write (*caller, args->generation, &RagifyTextIndex::remove_chunks, args);
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

/* A reader that fell too far behind the writer, or whose database was made anew under it, is replaced by another. */
bool
search (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextSearch *args, RagifyHit *hits,
        uint32_t *found, RagifyFault *fault)
{
  for (int attempt = 1;; attempt++) {
    uint64_t before;
    {
      std::lock_guard<std::mutex> guard (index->mutex);
      before = index->commits;
    }
    try {
      if (caller->cancelled (caller->user))
        throw Cancelled ();
      auto reader = index->borrow ();
      index->look_up (*reader, *args, hits, found);
      index->give_back (std::move (reader));
      return true;
    } catch (const Xapian::DatabaseModifiedError &) {
      if (attempt == attempts)
        return explain (*index, fault);
    } catch (const Xapian::DatabaseError &) {
      std::lock_guard<std::mutex> guard (index->mutex);
      if (attempt == attempts || before == index->commits)
        return explain (*index, fault);
    } catch (...) {
      return explain (*index, fault);
    }
  }
}

bool
optimize (RagifyTextIndex *index, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    if (index->writer != nullptr)
      index->writer->commit ();
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

void
report_generation (RagifyTextIndex *index, RagifyTextGeneration *generation)
{
  std::lock_guard<std::mutex> guard (index->mutex);
  generation->generation = index->generation;
  generation->chunks = index->chunks;
}

} // namespace

const RagifyTextBackend ragify_xapian_backend = {
  /* .folder = */ "xapian",
  /* .check_language = */ check_language,
  /* .open = */ open_index,
  /* .close = */ close_index,
  /* .read_only = */ why_read_only,
  /* .upsert = */ upsert,
  /* .search = */ search,
  /* .remove = */ remove_some,
  /* .optimize = */ optimize,
  /* .generation = */ report_generation,
};
