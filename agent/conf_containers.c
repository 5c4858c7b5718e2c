/*
 * agent/conf_containers.c: the keys about containers. What is wrong here
 * would be found out when the first container is asked for, or, worse, never:
 * so all of it is checked at the start, also where containers are off.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "pcapx/valid.h"
#include "place.h"


static int conf_containers_mode(conf_t *conf, char *err);
static int conf_containers_paths(conf_list_t *list, const char *key,
    const char *const *dflt, char *err);


static const char *const  conf_modes[] = { "off", "netns", "veth", NULL };

static const char *const  conf_netns_paths[] = {
    "/var/vcap/data/garden-cni/container-netns/" PLACE_HANDLE,
    NULL
};

static const char *const  conf_state_paths[] = {
    "/run/containerd/runc/garden/" PLACE_HANDLE "/state.json",
    "/run/runc/" PLACE_HANDLE "/state.json",
    "/var/vcap/sys/run/containerd/state/io.containerd.runtime.v2.task/garden/"
    PLACE_HANDLE "/init.pid",
    NULL
};


int
conf_containers(conf_t *conf, char *err)
{
    char  why[PCAPX_ERR_LEN];

    if (conf_containers_mode(conf, err) != 0
        || conf_containers_paths(&conf->container_netns_paths,
                                 "container_netns_paths", conf_netns_paths,
                                 err)
           != 0
        || conf_containers_paths(&conf->container_state_paths,
                                 "container_state_paths", conf_state_paths,
                                 err)
           != 0)
    {
        return -1;
    }

    if (pcapx_valid_interface(conf->container_interface,
                              strlen(conf->container_interface), why)
        != PCAPX_OK)
    {
        snprintf(err, CONF_ERR_LEN, "container_interface: %s", why);
        return -1;
    }

    if (strcmp(conf->container_metadata, "none") == 0) {
        free(conf->container_metadata);
        conf->container_metadata = NULL;

    } else if (conf->container_metadata[0] != '/'
               || strlen(conf->container_metadata) > PLACE_MAX_PATTERN)
    {
        snprintf(err, CONF_ERR_LEN, "container_metadata: must be an absolute "
                 "path of at most %d bytes, or none", PLACE_MAX_PATTERN);
        return -1;
    }

    if (conf->containers == CONF_CONTAINERS_VETH
        && conf->container_metadata == NULL)
    {
        snprintf(err, CONF_ERR_LEN, "container_metadata: container_mode veth "
                 "needs it, for the containers' addresses");
        return -1;
    }

    return 0;
}


static int
conf_containers_mode(conf_t *conf, char *err)
{
    unsigned  i;

    for (i = 0; conf_modes[i]; i++) {
        if (strcmp(conf_modes[i], conf->container_mode) == 0) {
            conf->containers = (conf_containers_t) i;
            return 0;
        }
    }

    snprintf(err, CONF_ERR_LEN, "container_mode: must be off, netns or veth");

    return -1;
}


static int
conf_containers_paths(conf_list_t *list, const char *key,
    const char *const *dflt, char *err)
{
    size_t       i;
    const char  *what;

    for (i = 0; list->n == i && dflt[i]; i++) {
        list->text[i] = strdup(dflt[i]);

        if (list->text[i] == NULL) {
            snprintf(err, CONF_ERR_LEN, "%s: out of memory", key);
            return -1;
        }

        list->n++;
    }

    for (i = 0; i < list->n; i++) {
        what = place_wrong(list->text[i]);

        if (what) {
            snprintf(err, CONF_ERR_LEN, "%s: \"%.200s\" %s", key,
                     list->text[i], what);
            return -1;
        }
    }

    return 0;
}


const char *
conf_containers_name(conf_containers_t mode)
{
    return conf_modes[mode];
}
