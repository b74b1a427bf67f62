/* A kernel with two mistakes, each of which scripts/sanitize.sh must find: see test_sanitizer.py. */
#include <Python.h>
#include <limits.h>

static PyObject *read_past_the_end(PyObject *module, PyObject *bytes)
{
    (void)module;
    const volatile char *text = PyBytes_AsString(bytes);
    return PyLong_FromLong(text[PyBytes_Size(bytes) + 1]); /* the NUL at the end still belongs to it */
}

static PyObject *overflow(PyObject *module, PyObject *number)
{
    (void)module;
    return PyLong_FromLong((int)PyLong_AsLong(number) + INT_MAX);
}

static PyMethodDef methods[] = {
    {"read_past_the_end", read_past_the_end, METH_O, NULL},
    {"overflow", overflow, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_sha512chain", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__sha512chain(void)
{
    return PyModuleDef_Init(&definition);
}
