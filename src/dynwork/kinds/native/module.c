/* The extension module dynwork.kinds._sha512chain, in the stable ABI of Python 3.11. See chain.h for what it computes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "chain.h"

#include <string.h>

static const path_t *path_named(const char *name)
{
    for (const path_t *path = chain_paths; path->name; path++)
        if (path->runs_here() && (!name || strcmp(path->name, name) == 0))
            return path;
    PyErr_Format(PyExc_ValueError, "no path named '%s' runs on this CPU", name);
    return NULL;
}

/* Reads an integer from 0 to 2^64 - 1. Sets an error and returns -1 for anything else. */
static int read_steps(PyObject *number, const char *what, uint64_t *steps)
{
    *steps = PyLong_AsUnsignedLongLong(number);
    if (*steps != (uint64_t)-1 || !PyErr_Occurred())
        return 0;
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_Format(PyExc_ValueError, "%s must be from 0 to 2**64 - 1", what);
    return -1;
}

static uint64_t read_word(const unsigned char *bytes)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | bytes[i];
    return word;
}

static void write_word(unsigned char *bytes, uint64_t word)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(word >> (56 - 8 * i));
}

/* Reads the chains of a call and queues those with steps to make. Sets an error and returns -1 for bad numbers. */
static int read_chains(chain_t *chains, Py_ssize_t count, const unsigned char *states, PyObject *remaining, batch_t *batch)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        chain_t *chain = &chains[i];
        if (read_steps(PyList_GetItem(remaining, i), "what remains of a chain", &chain->remaining) < 0)
            return -1;
        for (int word = 0; word < STATE_WORDS; word++)
            chain->word[word] = read_word(states + i * STATE_BYTES + word * 8);
        if (chain->remaining > 0)
            batch->queue[batch->waiting++] = chain;
    }
    return 0;
}

static PyObject *written(const chain_t *chains, Py_ssize_t count, uint64_t done)
{
    PyObject *states = PyBytes_FromStringAndSize(NULL, count * STATE_BYTES);
    PyObject *remaining = PyList_New(count);
    if (!states || !remaining)
        goto failed;
    unsigned char *bytes = (unsigned char *)PyBytes_AsString(states);
    for (Py_ssize_t i = 0; i < count; i++) {
        for (int word = 0; word < STATE_WORDS; word++)
            write_word(bytes + i * STATE_BYTES + word * 8, chains[i].word[word]);
        PyObject *left = PyLong_FromUnsignedLongLong(chains[i].remaining);
        if (!left || PyList_SetItem(remaining, i, left) < 0)
            goto failed;
    }
    return Py_BuildValue("NNK", states, remaining, (unsigned long long)done);
failed:
    Py_XDECREF(states);
    Py_XDECREF(remaining);
    return NULL;
}

PyDoc_STRVAR(advance_doc,
             "advance(states, remaining, max_steps, max_seconds, *, in_order=False, path=None)\n--\n\n"
             "Advance many chains; return (states, remaining, steps done in all). The interpreter is free meanwhile.");

static PyObject *py_advance(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"states", "remaining", "max_steps", "max_seconds", "in_order", "path", NULL};
    Py_buffer states;
    PyObject *remaining, *max_steps, *result = NULL;
    double max_seconds;
    const char *path_name = NULL;
    uint64_t budget, done;
    batch_t batch = {NULL, 0, 0};
    chain_t *chains = NULL;
    (void)module;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*O!Od|$pz:advance", names, &states, &PyList_Type, &remaining, &max_steps,
                                     &max_seconds, &batch.in_order, &path_name))
        return NULL;
    const Py_ssize_t count = PyList_Size(remaining);
    const path_t *path = path_named(path_name);
    if (!path || read_steps(max_steps, "max_steps", &budget) < 0)
        goto done;
    if (max_seconds != max_seconds) {
        PyErr_SetString(PyExc_ValueError, "max_seconds is not a number");
        goto done;
    }
    if (states.len % STATE_BYTES != 0 || states.len / STATE_BYTES != count) {
        PyErr_Format(PyExc_ValueError, "%zd chains need %d bytes of state each, not %zd in all", count, STATE_BYTES,
                     states.len);
        goto done;
    }
    chains = PyMem_Calloc((size_t)count, sizeof *chains);
    batch.queue = PyMem_Calloc((size_t)count, sizeof *batch.queue);
    if (!chains || !batch.queue) {
        PyErr_NoMemory();
        goto done;
    }
    if (read_chains(chains, count, states.buf, remaining, &batch) < 0)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    done = chain_advance(path, &batch, budget, max_seconds);
    Py_END_ALLOW_THREADS
    result = written(chains, count, done);
done:
    PyMem_Free(batch.queue);
    PyMem_Free(chains);
    PyBuffer_Release(&states);
    return result;
}

PyDoc_STRVAR(paths_doc, "paths()\n--\n\nReturn (name, lanes) of every path that this CPU can run, best first.");

static PyObject *py_paths(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    (void)module, (void)unused;
    for (const path_t *path = chain_paths; list && path->name; path++) {
        if (!path->runs_here())
            continue;
        PyObject *pair = Py_BuildValue("sI", path->name, path->lanes);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"advance", (PyCFunction)(void (*)(void))py_advance, METH_VARARGS | METH_KEYWORDS, advance_doc},
    {"paths", py_paths, METH_NOARGS, paths_doc},
    {NULL, NULL, 0, NULL},
};

/* None: there is nothing to set up. That they are there makes the import one of two phases (PEP 489). */
static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_sha512chain",
    .m_doc = "Hash chains in SIMD lanes, without the interpreter. Private: use dynwork.kinds.sha512_chain.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__sha512chain(void) { return PyModuleDef_Init(&definition); }
