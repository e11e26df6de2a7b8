/* What the plugin adds to FAISS, what filters cost, and how a large store starts, fits and answers.
 *
 * usage: store-index-bench STORE_PLUGIN [--vectors N] [--index FACTORY] [--state DIR] [--assert]
 *
 * N vectors of 384 numbers in clusters (default 50,000, IVF512,SQ8; the figures that are asked for: 500,000,
 * IVF4096,SQ8) are written through the plugin, indexed, and the store is opened again from its snapshot, in a process
 * of its own (--state DIR keeps it for the next time). The same index is then read by FAISS alone and searched in a
 * bare loop, in turns with the plugin, on one thread: queries per CPU second are compared. Filters let through 1, 10
 * and 50 % of the chunks; what is right is told by the same search with `exact`.
 *
 *   ratio      plugin's method against the bare loop                          >= 0.93
 *   filtered   recall@10 of each filter; CPU against unfiltered, warm         >= 0.95, <= 4 x
 *   start      open to first answer, from the snapshot                        < 1 s
 *   recall     recall@10 at the nprobe used, of the vectors as they were given >= 0.90
 *   p99        of a search at 32 clients                                      < 20 ms
 *   memory     growth of PSS a vector, once the first answer is there, and when every list was searched
 *                                                    of 500,000 and more      <= 1.15 x 384 bytes
 *
 * exit status: 0 done; 1 an assertion failed; 2 something is missing */
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <faiss/IndexIVF.h>
#include <faiss/index_io.h>
#include <faiss/utils/distances.h>
#include <omp.h>

#include "kit.h"

namespace {

constexpr uint32_t DIMENSION = 384;
constexpr uint32_t BATCH = 1000;
constexpr uint32_t QUERIES = 200;
constexpr uint32_t TOP = 10;
constexpr uint32_t CLIENTS = 32;
constexpr uint32_t NPROBE = 32;
constexpr uint64_t BUILD_TIMEOUT_US = 3600000000;
constexpr uint64_t JUDGED_VECTORS = 500000; /* of fewer, what a process has anyway is too large a part of its memory */
constexpr uint32_t JUDGED = 100;            /* queries whose nearest vectors are found by looking at all */
constexpr size_t SNAPSHOT_HEAD = 8 + 4 + 4 + 8 + 8 + 16 + 64; /* plugins/store-faiss/snapshot.c */
constexpr size_t SNAPSHOT_ENTRY = 28, SNAPSHOT_ALIGNMENT = 64;

struct Options {
  std::string plugin, state, index = "IVF512,SQ8";
  uint64_t vectors = 50000;
  bool judge = false;
};

struct Bench {
  Options options;
  std::string folder;
  std::vector<float> centres;
  RagifyKit *kit = nullptr;
  RagifyKitInstance *store = nullptr;
  const RagifyVectorStoreOperations *operations = nullptr;
  bool failed = false;
};

[[noreturn]] void
die (const std::string &what)
{
  fprintf (stderr, "store-index-bench: %s\n", what.c_str ());
  exit (2);
}

double
cpu_s ()
{
  timespec time;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double> (time.tv_sec) + static_cast<double> (time.tv_nsec) / 1e9;
}

double
wall_s ()
{
  return static_cast<double> (ragify_kit_now_us ()) / 1e6;
}

/* As embeddings are: around centres of very different weight, near enough for neighbours to be shared, unit length. */
void
make_vector (const Bench &bench, uint64_t number, float *vector)
{
  std::mt19937_64 random (number * 7919 + 17);
  std::normal_distribution<float> noise (0, 1);
  const size_t clusters = bench.centres.size () / DIMENSION;
  const double uniform = static_cast<double> (random () >> 11) / static_cast<double> (1ULL << 53);
  const auto cluster = static_cast<size_t> (uniform * uniform * static_cast<double> (clusters));
  const float *centre = &bench.centres[std::min (cluster, clusters - 1) * DIMENSION];
  float sum = 0;
  for (uint32_t i = 0; i < DIMENSION; i++) {
    vector[i] = centre[i] + 0.6F * noise (random);
    sum += vector[i] * vector[i];
  }
  for (uint32_t i = 0; i < DIMENSION; i++)
    vector[i] /= std::sqrt (sum);
}

std::vector<float>
query_of (const Bench &bench, uint32_t number)
{
  std::vector<float> query (DIMENSION);
  make_vector (bench, 1000000000 + number, query.data ());
  return query;
}

void
make_centres (Bench &bench)
{
  std::mt19937_64 random (5);
  std::normal_distribution<float> noise (0, 1);
  bench.centres.resize (std::max<uint64_t> (bench.options.vectors / 250, 20) * DIMENSION);
  for (float &value : bench.centres)
    value = noise (random);
}

RagifyUuid
id_of (uint64_t number)
{
  RagifyUuid id = {};
  memcpy (id.bytes + 8, &number, sizeof number);
  return id;
}

uint64_t
number_of (const RagifyUuid &id)
{
  uint64_t number;
  memcpy (&number, id.bytes + 8, sizeof number);
  return number;
}

void
open_store (Bench &bench)
{
  static const RagifyEmbedderInfo embedder = { sizeof embedder, DIMENSION, 0, 0, { "bench", 5 } };
  RagifyKitOptions options = {};
  options.quiet = 1;
  options.workers = 4;
  const std::string path = "path=" + bench.folder + "/store", index = "index=" + bench.options.index;
  const std::string nprobe = "nprobe=" + std::to_string (NPROBE);
  const char *config[] = { path.c_str (), index.c_str (), nprobe.c_str (), nullptr };
  bench.kit = ragify_kit_new (&options);
  bench.store =
      ragify_kit_open (bench.kit, bench.options.plugin.c_str (), RAGIFY_KIND_VECTOR_STORE, "faiss", config, &embedder);
  if (bench.store == nullptr)
    die (ragify_kit_error (bench.kit));
  bench.operations = static_cast<const RagifyVectorStoreOperations *> (ragify_kit_operations (bench.store));
}

void
close_store (Bench &bench)
{
  ragify_kit_close (bench.store);
  ragify_kit_free (bench.kit);
}

RagifyKitCall *
must (RagifyKitCall *call)
{
  if (call->code != RAGIFY_OK)
    die (call->message);
  return call;
}

/* ---- what is right ---- */

/* The nearest of all vectors that were given, for each judged query, found while they are made. */
struct Truth {
  std::vector<std::vector<float> > queries;
  std::vector<std::vector<std::pair<float, uint64_t> > > nearest; /* heaps, the worst on top */

  explicit Truth (const Bench &bench) : nearest (JUDGED)
  {
    for (uint32_t i = 0; i < JUDGED; i++)
      queries.push_back (query_of (bench, i));
  }

  void look_at (uint64_t number, const float *vector)
  {
    for (uint32_t i = 0; i < JUDGED; i++) {
      const float score = faiss::fvec_inner_product (queries[i].data (), vector, DIMENSION);
      auto &heap = nearest[i];
      if (heap.size () == TOP && score <= heap.front ().first)
        continue;
      if (heap.size () == TOP) {
        std::pop_heap (heap.begin (), heap.end (), std::greater<> ());
        heap.pop_back ();
      }
      heap.emplace_back (score, number);
      std::push_heap (heap.begin (), heap.end (), std::greater<> ());
    }
  }

  /* For the process that measures. */
  void write (const Bench &bench) const
  {
    FILE *file = fopen ((bench.folder + "/truth").c_str (), "wb");
    for (const auto &heap : nearest)
      for (const auto &item : heap)
        if (file == nullptr || fwrite (&item.second, sizeof item.second, 1, file) != 1)
          die ("the right answers cannot be kept");
    fclose (file);
  }
};

std::vector<uint64_t>
read_truth (const Bench &bench)
{
  std::vector<uint64_t> numbers (static_cast<size_t> (JUDGED) * TOP);
  FILE *file = fopen ((bench.folder + "/truth").c_str (), "rb");
  if (file == nullptr || fread (numbers.data (), sizeof numbers[0], numbers.size (), file) != numbers.size ())
    die ("the right answers cannot be read");
  fclose (file);
  return numbers;
}

/* ---- filling ---- */

void
write_batch (Bench &bench, Truth &truth, uint64_t first, uint32_t count)
{
  std::vector<RagifyChunk> chunks (count);
  std::vector<float> vectors (static_cast<size_t> (count) * DIMENSION);
  std::vector<std::string> metadata (count);
  const std::string name = "d" + std::to_string (first);
  RagifyDocument document = {};
  document.struct_size = sizeof document;
  document.id = ragify_str_from (name.c_str ());
  document.content_hash = id_of (first + 1);
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t number = first + i, part = number * 2654435761 % 100;
    metadata[i] = "{\"part\":" + std::to_string (part) + "}";
    chunks[i] = {};
    chunks[i].struct_size = sizeof chunks[i];
    chunks[i].id = id_of (number);
    chunks[i].document_id = document.id;
    chunks[i].content = ragify_str_from ("x");
    chunks[i].metadata = ragify_str_from (metadata[i].c_str ());
    chunks[i].ordinal = i;
    make_vector (bench, number, &vectors[static_cast<size_t> (i) * DIMENSION]);
    truth.look_at (number, &vectors[static_cast<size_t> (i) * DIMENSION]);
  }
  RagifyStoreUpsert args = {};
  args.struct_size = sizeof args;
  args.documents = { &document, 1, sizeof document, 0 };
  args.chunks = { chunks.data (), count, sizeof (RagifyChunk), 0 };
  args.vectors = { vectors.data (), count, DIMENSION };
  ragify_kit_call_free (
      must (ragify_kit_call (bench.store, reinterpret_cast<RagifyKitFunction> (bench.operations->upsert), &args, 0)));
}

void
fill (Bench &bench)
{
  const double began = wall_s ();
  Truth truth (bench);
  open_store (bench);
  for (uint64_t first = 0; first < bench.options.vectors; first += BATCH)
    write_batch (bench, truth, first,
                 static_cast<uint32_t> (std::min<uint64_t> (BATCH, bench.options.vectors - first)));
  const double written = wall_s ();
  RagifyStoreOptimize args = {};
  args.struct_size = sizeof args;
  ragify_kit_call_free (must (ragify_kit_call (
      bench.store, reinterpret_cast<RagifyKitFunction> (bench.operations->optimize), &args, BUILD_TIMEOUT_US)));
  printf ("%llu vectors written in %.1f s, %s built in %.1f s\n",
          static_cast<unsigned long long> (bench.options.vectors), written - began, bench.options.index.c_str (),
          wall_s () - written);
  truth.write (bench);
  close_store (bench);
}

/* ---- searching ---- */

/* A filter that lets through so many percent; nothing below 100: all. */
struct Filter {
  RagifyValue value = {};
  RagifyFilter filter = {};
  explicit Filter (int percent)
  {
    value.type = RAGIFY_VALUE_INT;
    value.integer = percent;
    filter.struct_size = sizeof filter;
    filter.op = RAGIFY_FILTER_LT;
    filter.field = ragify_str_from ("part");
    filter.values = { &value, 1 };
  }
};

std::vector<uint64_t>
search (const Bench &bench, const std::vector<float> &query, const RagifyFilter *filter, bool exact)
{
  RagifyPair pair = {};
  pair.name = ragify_str_from ("exact");
  pair.value.type = RAGIFY_VALUE_BOOL;
  pair.value.integer = 1;
  RagifyStoreSearch args = {};
  args.struct_size = sizeof args;
  args.top_k = TOP;
  args.vectors = { query.data (), 1, DIMENSION };
  args.filter = filter;
  if (exact)
    args.tuning = { &pair, 1 };
  RagifyKitCall *call =
      must (ragify_kit_call (bench.store, reinterpret_cast<RagifyKitFunction> (bench.operations->search), &args, 0));
  const auto *result = static_cast<const RagifyStoreSearchResult *> (call->result);
  std::vector<uint64_t> found;
  for (uint64_t i = 0; i < result->hits.count; i++)
    found.push_back (number_of (result->hits.items[i].id));
  ragify_kit_call_free (call);
  return found;
}

/* CPU a query of the store's search, beyond what a call of the test host costs by itself. */
double
cost (const Bench &bench, const RagifyFilter *filter)
{
  const RagifyNothing nothing = { sizeof nothing, 0 };
  std::vector<std::vector<float> > queries;
  for (uint32_t i = 0; i < QUERIES; i++)
    queries.push_back (query_of (bench, i));
  const double began = cpu_s ();
  for (uint32_t i = 0; i < QUERIES; i++)
    ragify_kit_call_free (
        ragify_kit_call (bench.store, reinterpret_cast<RagifyKitFunction> (bench.operations->generation), &nothing, 0));
  const double calls = cpu_s () - began, middle = cpu_s ();
  for (const auto &query : queries)
    (void)search (bench, query, filter, false);
  return (cpu_s () - middle - calls) / QUERIES;
}

double
recall (const Bench &bench, const RagifyFilter *filter)
{
  uint32_t found = 0, wanted = 0;
  for (uint32_t i = 0; i < QUERIES / 2; i++) {
    const auto query = query_of (bench, i);
    const auto right = search (bench, query, filter, true), got = search (bench, query, filter, false);
    wanted += static_cast<uint32_t> (right.size ());
    for (uint64_t number : right)
      found += std::find (got.begin (), got.end (), number) != got.end () ? 1 : 0;
  }
  return static_cast<double> (found) / wanted;
}

/* ---- the bare loop ---- */

void
read_at (FILE *file, uint64_t place, void *to, size_t size)
{
  if (fseek (file, static_cast<long> (place), SEEK_SET) != 0 || fread (to, 1, size, file) != size)
    die ("the snapshot cannot be read");
}

/* FAISS's own index of the same lists (the layout: plugins/store-faiss/snapshot.c, approximate.cc). */
std::unique_ptr<faiss::Index>
read_alone (const Bench &bench)
{
  FILE *file = fopen ((bench.folder + "/store/index.snapshot").c_str (), "rb");
  uint64_t count = 0;
  struct {
    uint64_t lists, code_size, codes_at, index_at;
  } layout = {};
  if (file == nullptr)
    die ("the snapshot cannot be opened");
  read_at (file, 16, &count, sizeof count);
  const uint64_t begin =
      (SNAPSHOT_HEAD + count * SNAPSHOT_ENTRY + SNAPSHOT_ALIGNMENT - 1) / SNAPSHOT_ALIGNMENT * SNAPSHOT_ALIGNMENT;
  read_at (file, begin, &layout, sizeof layout);
  std::vector<uint64_t> counts (layout.lists);
  read_at (file, begin + sizeof layout, counts.data (), counts.size () * sizeof counts[0]);
  read_at (file, begin + layout.index_at, nullptr, 0);
  std::unique_ptr<faiss::Index> index (faiss::read_index (file));
  auto &ivf = dynamic_cast<faiss::IndexIVF &> (*index);
  std::vector<uint8_t> codes;
  std::vector<faiss::idx_t> ids;
  faiss::idx_t row = 0;
  read_at (file, begin + layout.codes_at, nullptr, 0);
  for (uint64_t list = 0; list < layout.lists; list++) {
    codes.resize (counts[list] * layout.code_size);
    ids.resize (counts[list]);
    for (auto &id : ids)
      id = row++;
    if (fread (codes.data (), 1, codes.size (), file) != codes.size ())
      die ("the snapshot is cut off");
    ivf.invlists->add_entries (list, ids.size (), ids.data (), codes.data ());
  }
  fclose (file);
  return index;
}

double
cost_alone (const Bench &bench, const faiss::Index &index)
{
  faiss::SearchParametersIVF parameters;
  parameters.nprobe = NPROBE;
  std::vector<float> scores (TOP);
  std::vector<faiss::idx_t> rows (TOP);
  std::vector<std::vector<float> > queries;
  for (uint32_t i = 0; i < QUERIES; i++)
    queries.push_back (query_of (bench, i));
  const double began = cpu_s ();
  for (const auto &query : queries)
    index.search (1, query.data (), TOP, scores.data (), rows.data (), &parameters);
  return (cpu_s () - began) / QUERIES;
}

/* ---- figures ---- */

void
say (Bench &bench, const char *name, double value, const char *unit, bool good, const char *bound)
{
  printf ("%-34s %10.3f %-8s %-14s %s\n", name, value, unit, bound, good ? "" : "MISSED");
  bench.failed = bench.failed || !good;
}

double
median (std::vector<double> values)
{
  std::sort (values.begin (), values.end ());
  return values[values.size () / 2];
}

void
compare_with_faiss (Bench &bench)
{
  const auto index = read_alone (bench);
  std::vector<double> ratios;
  omp_set_num_threads (1);
  (void)cost_alone (bench, *index);
  (void)cost (bench, nullptr);
  for (int round = 0; round < 9; round++) {
    const double alone = cost_alone (bench, *index), plugin = cost (bench, nullptr);
    ratios.push_back (alone / plugin);
  }
  say (bench, "plugin's rate / bare FAISS loop", median (ratios), "x", median (ratios) >= 0.93, ">= 0.93");
}

void
try_filters (Bench &bench)
{
  std::vector<double> plain;
  plain.reserve (3);
  for (int round = 0; round < 3; round++)
    plain.push_back (cost (bench, nullptr));
  for (int percent : { 1, 10, 50 }) {
    const Filter filter (percent);
    std::vector<double> costs;
    costs.reserve (3);
    (void)cost (bench, &filter.filter);
    for (int round = 0; round < 3; round++)
      costs.push_back (cost (bench, &filter.filter));
    const double right = recall (bench, &filter.filter), times = median (costs) / median (plain);
    const std::string name = std::to_string (percent) + " % let through: ";
    say (bench, (name + "recall@10").c_str (), right, "", right >= 0.95, ">= 0.95");
    say (bench, (name + "CPU / unfiltered").c_str (), times, "x", times <= 4, "<= 4");
  }
}

uint64_t
pss ()
{
  FILE *file = fopen ("/proc/self/smaps_rollup", "r");
  char line[200];
  unsigned long long kib = 0;
  while (file != nullptr && fgets (line, sizeof line, file) != nullptr)
    if (sscanf (line, "Pss: %llu kB", &kib) == 1)
      break;
  if (file != nullptr)
    fclose (file);
  return kib * 1024;
}

void
try_clients (Bench &bench)
{
  std::vector<std::thread> clients;
  std::vector<std::vector<double> > times (CLIENTS);
  for (uint32_t client = 0; client < CLIENTS; client++)
    clients.emplace_back ([&bench, &times, client] {
      for (uint32_t i = 0; i < 40; i++) {
        const auto query = query_of (bench, client * 40 + i);
        const double began = wall_s ();
        (void)search (bench, query, nullptr, false);
        times[client].push_back (wall_s () - began);
      }
    });
  for (auto &client : clients)
    client.join ();
  std::vector<double> all;
  for (const auto &some : times)
    all.insert (all.end (), some.begin (), some.end ());
  std::sort (all.begin (), all.end ());
  const double p99 = 1000 * all[all.size () * 99 / 100];
  say (bench, "p99 of a search at 32 clients", p99, "ms", p99 < 20, "< 20");
}

double
recall_of_given (const Bench &bench)
{
  const auto truth = read_truth (bench);
  uint32_t found = 0;
  for (uint32_t i = 0; i < JUDGED; i++) {
    const auto got = search (bench, query_of (bench, i), nullptr, false);
    for (uint32_t k = 0; k < TOP; k++)
      found += std::find (got.begin (), got.end (), truth[i * TOP + k]) != got.end () ? 1 : 0;
  }
  return static_cast<double> (found) / (JUDGED * TOP);
}

void
say_growth (Bench &bench, const char *name, uint64_t before)
{
  const double each = static_cast<double> (pss () - before) / static_cast<double> (bench.options.vectors);
  const bool judged = bench.options.vectors >= JUDGED_VECTORS;
  say (bench, name, each / DIMENSION, "x 384 B", !judged || each <= 1.15 * DIMENSION, judged ? "<= 1.15" : "");
}

/* In a process that holds nothing else. */
int
measure (Bench &bench)
{
  const uint64_t before = pss ();
  const double began = wall_s ();
  open_store (bench);
  (void)search (bench, query_of (bench, 1), nullptr, false);
  const double start = wall_s () - began;
  say (bench, "open to the first answer", start, "s", start < 1, "< 1");
  say_growth (bench, "growth of PSS a vector, then", before);
  const double right = recall_of_given (bench);
  say (bench, ("recall@10 at nprobe " + std::to_string (NPROBE)).c_str (), right, "", right >= 0.90, ">= 0.90");
  (void)search (bench, query_of (bench, 1), nullptr, true); /* reads every list */
  say_growth (bench, "growth of PSS a vector, all read", before);
  try_clients (bench);
  compare_with_faiss (bench);
  try_filters (bench);
  close_store (bench);
  return bench.failed && bench.options.judge ? 1 : 0;
}

/* In a process of its own, so that what it needed is not there any more. */
int
in_child (const std::function<int ()> &work)
{
  fflush (stdout);
  const pid_t child = fork ();
  if (child == 0) {
    const int code = work ();
    fflush (stdout);
    _exit (code);
  }
  int status = 0;
  waitpid (child, &status, 0);
  return WIFEXITED (status) ? WEXITSTATUS (status) : 2;
}

Options
read_options (int argc, char **argv)
{
  Options options;
  for (int i = 1; i < argc; i++) {
    if (strcmp (argv[i], "--assert") == 0)
      options.judge = true;
    else if (strcmp (argv[i], "--vectors") == 0 && i + 1 < argc)
      options.vectors = strtoull (argv[++i], nullptr, 10);
    else if (strcmp (argv[i], "--state") == 0 && i + 1 < argc)
      options.state = argv[++i];
    else if (strcmp (argv[i], "--index") == 0 && i + 1 < argc)
      options.index = argv[++i];
    else
      options.plugin = argv[i];
  }
  if (options.plugin.empty () || options.vectors < 1000)
    die ("usage: store-index-bench STORE_PLUGIN [--vectors N] [--index FACTORY] [--state DIR] [--assert]");
  return options;
}

} // namespace

int
main (int argc, char **argv)
{
  Bench bench;
  char folder[] = "/tmp/ragify-bench-XXXXXX";
  bench.options = read_options (argc, argv);
  setenv ("OPENBLAS_CORETYPE", "", 0); /* as in the host: core/main.c */
  if (bench.options.state.empty () && mkdtemp (folder) == nullptr)
    die ("no folder can be made");
  bench.folder = bench.options.state.empty () ? folder : bench.options.state;
  make_centres (bench);
  int code = 0;
  if (access ((bench.folder + "/truth").c_str (), R_OK) != 0)
    code = in_child ([&bench] {
      fill (bench);
      return 0;
    });
  if (code == 0)
    code = in_child ([&bench] { return measure (bench); });
  if (!bench.options.state.empty ())
    return code;
  const std::string command = "rm -rf " + bench.folder;
  return system (command.c_str ()) == 0 ? code : 2;
}
