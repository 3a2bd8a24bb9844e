# Empty: makes this folder a package that .pyx files can cimport from. Not installed.
