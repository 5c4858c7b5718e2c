/*
 * cli/yamldoc.h: config files of other programs (the bosh CLI's, kubectl's)
 * as YAML documents. The files are not trusted: what is loaded has a ceiling
 * for size, depth and anchors, and nothing here follows an alias more than
 * once, but for ydoc_json(), which has a ceiling of its own. Knows nothing of
 * files.
 */

#ifndef CLI_YAMLDOC_H
#define CLI_YAMLDOC_H

#include <jansson.h>
#include <stddef.h>
#include <yaml.h>


/* By aliases, few bytes may name many entries with many keys each. */
#define YDOC_MAX_KEYS  1000

/* Must not be moved in memory: libyaml's parser points to itself. */

typedef struct {
    yaml_parser_t    parser;
    yaml_document_t  doc;
    unsigned         has_parser:1;
    unsigned         has_doc:1;
} ydoc_t;


/*
 * Loads the first document of len bytes of text, which must outlive d. 0, or
 * -1 with err (PCAPX_ERR_LEN bytes): not YAML, too long (STORE_MAX_BYTES), too
 * deep. Nothing of the text stands in err. Call ydoc_free() in both cases.
 */
int ydoc_load(ydoc_t *d, const char *text, size_t len, char *err);

/* What was loaded is all: the text is not needed any more. */
void ydoc_detach(ydoc_t *d);

void ydoc_free(ydoc_t *d);

/*
 * A scalar's text, NULL when it is none, holds a NUL, or says that there is
 * no value ("", ~, null). Aliases the document.
 */
const char *ydoc_text(const yaml_node_t *n);

/* Is there no value: no node, or a scalar "", ~ or null? */
int ydoc_is_null(const yaml_node_t *n);

/* The last pair of map with this key, as Go's decoder has it; NULL: none. */
yaml_node_pair_t *ydoc_pair(yaml_document_t *doc, yaml_node_t *map,
    const char *key);

/* Its value, NULL: none. */
yaml_node_t *ydoc_member(yaml_document_t *doc, yaml_node_t *map,
    const char *key);

/*
 * The node and all below it as JSON; what is plain and looks like a number,
 * true, false or null is one. A new reference, or NULL: more than 10000 nodes
 * or 256 kB of text, deeper than 64 levels (an alias may lead back to where
 * it stands), a key that is no text, or no UTF-8.
 */
json_t *ydoc_json(yaml_document_t *doc, yaml_node_t *n);


#endif /* CLI_YAMLDOC_H */
