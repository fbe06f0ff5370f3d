// stalls
