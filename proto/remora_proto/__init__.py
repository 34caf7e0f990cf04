"""Generated wire contracts of Remora; the sources are the .proto files beside them."""
