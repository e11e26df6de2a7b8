/* SPDX-License-Identifier: MIT
 *
 * Several plugins carry this file, and GObject types are the process's: so the types' names have an address of this
 * copy in them. */
#include "http-address.h"

#include <string.h>

#define NAMES_ROOM 256u

/* ---- what is private ---- */

typedef struct Range {
  guint8 prefix[16];
  guint8 bits;
} Range;

static const Range private4[] = {
  { { 0 }, 8 },         { { 10 }, 8 },       { { 100, 64 }, 10 },      { { 127 }, 8 },
  { { 169, 254 }, 16 }, { { 172, 16 }, 12 }, { { 192, 0, 0 }, 24 },    { { 192, 0, 2 }, 24 },
  { { 192, 168 }, 16 }, { { 198, 18 }, 15 }, { { 198, 51, 100 }, 24 }, { { 203, 0, 113 }, 24 },
  { { 224 }, 3 },
};

static const Range private6[] = {
  { { 0 }, 127 }, /* :: and ::1 */
  { { 0x01 }, 64 },
  { { 0xfc }, 7 },
  { { 0xfe, 0x80 }, 10 },
  { { 0xfe, 0xc0 }, 10 },
  { { 0xff }, 8 },
  { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },
  { { 0x20, 0x01, 0, 0 }, 32 }, /* Teredo */
};

/* IPv6 ranges whose addresses hold an IPv4 address, and where. */
static const struct {
  Range range;
  guint at;
} carriers[] = {
  { { { 0 }, 96 }, 12 },                                        /* compatible */
  { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96 }, 12 }, /* mapped */
  { { { 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0 }, 96 }, 12 }, /* translated */
  { { { 0, 0x64, 0xff, 0x9b }, 96 }, 12 },                      /* NAT64 */
  { { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48 }, 12 },                /* NAT64 of a local kind */
  { { { 0x20, 0x02 }, 16 }, 2 },                                /* 6to4 */
};

static gboolean
in_range (const guint8 *bytes, const Range *range)
{
  const guint whole = range->bits / 8;
  const guint rest = range->bits % 8;
  if (memcmp (bytes, range->prefix, whole) != 0)
    return FALSE;
  return rest == 0 || ((bytes[whole] ^ range->prefix[whole]) >> (8 - rest)) == 0;
}

static gboolean
in_any (const guint8 *bytes, const Range *ranges, guint count)
{
  for (guint i = 0; i < count; i++)
    if (in_range (bytes, &ranges[i]))
      return TRUE;
  return FALSE;
}

gboolean
ragify_http_address_is_private (GInetAddress *address)
{
  const guint8 *bytes = g_inet_address_to_bytes (address);
  if (g_inet_address_get_family (address) == G_SOCKET_FAMILY_IPV4)
    return in_any (bytes, private4, G_N_ELEMENTS (private4));
  if (in_any (bytes, private6, G_N_ELEMENTS (private6)))
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (carriers); i++)
    if (in_range (bytes, &carriers[i].range) && in_any (bytes + carriers[i].at, private4, G_N_ELEMENTS (private4)))
      return TRUE;
  return FALSE;
}

/* ---- names ---- */

typedef struct Known {
  GList *addresses; /* of GInetAddress */
  gint64 until;
} Known;

struct RagifyHttpNames {
  guint64 ttl_us;
  GHashTable *known; /* host → Known */
};

static void
known_free (gpointer data)
{
  Known *known = data;
  g_resolver_free_addresses (known->addresses);
  g_free (known);
}

RagifyHttpNames *
ragify_http_names_new (guint64 ttl_us)
{
  RagifyHttpNames *names = g_rc_box_new0 (RagifyHttpNames);
  names->ttl_us = ttl_us;
  names->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, known_free);
  return names;
}

RagifyHttpNames *
ragify_http_names_ref (RagifyHttpNames *names)
{
  return g_rc_box_acquire (names);
}

static void
names_clear (gpointer data)
{
  RagifyHttpNames *names = data;
  g_hash_table_unref (names->known);
}

void
ragify_http_names_unref (RagifyHttpNames *names)
{
  g_rc_box_release_full (names, names_clear);
}

void
ragify_http_names_forget (RagifyHttpNames *names, const char *host)
{
  g_hash_table_remove (names->known, host);
}

static GList *
copy_addresses (GList *addresses)
{
  return g_list_copy_deep (addresses, (GCopyFunc)(void (*) (void))g_object_ref, NULL);
}

static void
remember (RagifyHttpNames *names, const char *host, GList *addresses)
{
  if (names->ttl_us == 0)
    return;
  if (g_hash_table_size (names->known) >= NAMES_ROOM)
    g_hash_table_remove_all (names->known);
  Known *known = g_new (Known, 1);
  *known = (Known){ .addresses = copy_addresses (addresses), .until = g_get_monotonic_time () + (gint64)names->ttl_us };
  g_hash_table_replace (names->known, g_strdup (host), known);
}

/* The addresses of a name that is known, or that is an address itself; NULL: it must be resolved. */
static GList *
look_up (RagifyHttpNames *names, const char *host)
{
  GInetAddress *literal = g_inet_address_new_from_string (host);
  if (literal != NULL)
    return g_list_prepend (NULL, literal);
  const Known *known = g_hash_table_lookup (names->known, host);
  if (known == NULL || known->until <= g_get_monotonic_time ())
    return NULL;
  return copy_addresses (known->addresses);
}

/* ---- the enumerator ---- */

typedef struct Enumerator {
  GSocketAddressEnumerator parent;
  RagifyHttpNames *names;
  char *host;
  guint16 port;
  gboolean allow_private;
  gboolean begun;
  gboolean handed_out;
  GList *addresses; /* still to be handed out */
} Enumerator;

typedef GSocketAddressEnumeratorClass EnumeratorClass;

static gpointer enumerator_parent_class;

static void
enumerator_finalize (GObject *object)
{
  Enumerator *self = (Enumerator *)object;
  g_resolver_free_addresses (self->addresses);
  ragify_http_names_unref (self->names);
  g_free (self->host);
  G_OBJECT_CLASS (enumerator_parent_class)->finalize (object);
}

/* The next address that may be connected to; NULL without an error at the end. */
static GSocketAddress *
take_next (Enumerator *self, GError **error)
{
  while (self->addresses != NULL) {
    g_autoptr (GInetAddress) address = self->addresses->data;
    self->addresses = g_list_delete_link (self->addresses, self->addresses);
    if (self->allow_private || !ragify_http_address_is_private (address))
      return g_inet_socket_address_new (address, self->port);
    g_autofree char *text = g_inet_address_to_string (address);
    if (!self->handed_out && self->addresses == NULL)
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                   "%s is at the private address %s, which is not allowed here", self->host, text);
  }
  return NULL;
}

static void
answer_next (GTask *task)
{
  Enumerator *self = g_task_get_source_object (task);
  GError *error = NULL;
  GSocketAddress *address = take_next (self, &error);
  if (address != NULL)
    self->handed_out = TRUE; /* what comes of it is the reason to give */
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, address, g_object_unref);
  g_object_unref (task);
}

static void
resolved (GObject *source, GAsyncResult *result, gpointer data)
{
  GTask *task = data;
  Enumerator *self = g_task_get_source_object (task);
  GError *error = NULL;
  self->addresses = g_resolver_lookup_by_name_finish (G_RESOLVER (source), result, &error);
  if (error != NULL) {
    g_task_return_error (task, error);
    g_object_unref (task);
    return;
  }
  remember (self->names, self->host, self->addresses);
  answer_next (task);
}

static void
next_async (GSocketAddressEnumerator *enumerator, GCancellable *cancellable, GAsyncReadyCallback done, gpointer user)
{
  Enumerator *self = (Enumerator *)enumerator;
  GTask *task = g_task_new (self, cancellable, done, user);
  const gboolean first = !self->begun;
  self->begun = TRUE;
  if (first)
    self->addresses = look_up (self->names, self->host);
  if (!first || self->addresses != NULL) {
    answer_next (task);
    return;
  }
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  g_resolver_lookup_by_name_async (resolver, self->host, cancellable, resolved, task);
}

static GSocketAddress *
next_finish (GSocketAddressEnumerator *enumerator, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
enumerator_class_init (gpointer klass, gpointer data)
{
  enumerator_parent_class = g_type_class_peek_parent (klass);
  GSocketAddressEnumeratorClass *enumerator_class = klass;
  enumerator_class->next_async = next_async;
  enumerator_class->next_finish = next_finish;
  G_OBJECT_CLASS (klass)->finalize = enumerator_finalize;
}

static GType
register_type (GType parent, const char *stem, const GTypeInfo *info)
{
  g_autofree char *name = g_strdup_printf ("%s%" G_GSIZE_MODIFIER "x", stem, (gsize)&enumerator_parent_class);
  return g_type_register_static (parent, name, info, 0);
}

static GType
enumerator_type (void)
{
  static gsize type;
  if (g_once_init_enter (&type)) {
    const GTypeInfo info = { .class_size = sizeof (EnumeratorClass),
                             .class_init = enumerator_class_init,
                             .instance_size = sizeof (Enumerator) };
    g_once_init_leave (&type, register_type (G_TYPE_SOCKET_ADDRESS_ENUMERATOR, "RagifyHttpEnumerator", &info));
  }
  return type;
}

/* ---- the address ---- */

typedef struct Address {
  GNetworkAddress parent;
  RagifyHttpNames *names;
  gboolean allow_private;
} Address;

typedef GNetworkAddressClass AddressClass;

static gpointer address_parent_class;

static void
address_finalize (GObject *object)
{
  ragify_http_names_unref (((Address *)object)->names);
  G_OBJECT_CLASS (address_parent_class)->finalize (object);
}

static void
address_class_init (gpointer klass, gpointer data)
{
  address_parent_class = g_type_class_peek_parent (klass);
  G_OBJECT_CLASS (klass)->finalize = address_finalize;
}

static GSocketAddressEnumerator *
enumerate (GSocketConnectable *connectable)
{
  const Address *address = (const Address *)connectable;
  Enumerator *enumerator = g_object_new (enumerator_type (), NULL);
  enumerator->names = ragify_http_names_ref (address->names);
  enumerator->host = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (connectable)));
  enumerator->port = g_network_address_get_port (G_NETWORK_ADDRESS (connectable));
  enumerator->allow_private = address->allow_private;
  return G_SOCKET_ADDRESS_ENUMERATOR (enumerator);
}

static char *
to_text (GSocketConnectable *connectable)
{
  return g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (connectable)));
}

static void
connectable_init (gpointer iface, gpointer data)
{
  GSocketConnectableIface *connectable = iface;
  connectable->enumerate = enumerate;
  connectable->proxy_enumerate = enumerate;
  connectable->to_string = to_text;
}

static GType
address_type (void)
{
  static gsize type;
  if (g_once_init_enter (&type)) {
    const GTypeInfo info = { .class_size = sizeof (AddressClass),
                             .class_init = address_class_init,
                             .instance_size = sizeof (Address) };
    const GInterfaceInfo connectable = { .interface_init = connectable_init };
    const GType made = register_type (G_TYPE_NETWORK_ADDRESS, "RagifyHttpAddress", &info);
    g_type_add_interface_static (made, G_TYPE_SOCKET_CONNECTABLE, &connectable);
    g_once_init_leave (&type, made);
  }
  return type;
}

GSocketConnectable *
ragify_http_address_new (RagifyHttpNames *names, const char *host, guint16 port, gboolean allow_private)
{
  Address *address = g_object_new (address_type (), "hostname", host, "port", (guint)port, NULL);
  address->names = ragify_http_names_ref (names);
  address->allow_private = allow_private;
  return G_SOCKET_CONNECTABLE (address);
}
