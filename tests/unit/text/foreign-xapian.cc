/* A database that no text index has made. usage: foreign-xapian make|check PATH */
#include <cstring>

#include <xapian.h>

int
main (int argc, char **argv)
{
  if (argc != 3)
    return 2;
  try {
    if (std::strcmp (argv[1], "make") == 0) {
      Xapian::WritableDatabase database (argv[2], Xapian::DB_CREATE);
      Xapian::Document document;
      document.add_term ("heron");
      database.add_document (document);
      database.commit ();
      return 0;
    }
    return Xapian::Database (argv[2]).get_termfreq ("heron") == 1 ? 0 : 1;
  } catch (const Xapian::Error &) {
    return 1;
  }
}
