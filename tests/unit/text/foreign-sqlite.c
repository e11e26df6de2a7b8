/* A database that no text index has made. usage: foreign-sqlite make|check PATH */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int
read_text (void *user, int columns, char **values, char **names)
{
  (void)names;
  (void)snprintf (user, 20, "%s", columns == 1 && values[0] != NULL ? values[0] : "");
  return 0;
}

static int
says (sqlite3 *database, const char *sql, const char *expected)
{
  char found[20] = "";
  return sqlite3_exec (database, sql, read_text, found, NULL) == SQLITE_OK && strcmp (found, expected) == 0;
}

int
main (int argc, char **argv)
{
  char file[400];
  sqlite3 *database = NULL;
  int well = 0;
  if (argc != 3 || snprintf (file, sizeof file, "%s/words.db", argv[2]) >= (int)sizeof file)
    return 2;
  (void)mkdir (argv[2], 0750);
  if (sqlite3_open (file, &database) == SQLITE_OK && strcmp (argv[1], "make") == 0)
    well = sqlite3_exec (database, "CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('heron')", NULL, NULL,
                         NULL) == SQLITE_OK;
  else /* to open it as an index would have changed its journal */
    well = says (database, "SELECT word FROM words", "heron") && says (database, "PRAGMA journal_mode", "delete");
  (void)sqlite3_close (database);
  return well ? 0 : 1;
}
