module truegate/toolchain/age-keygen

go 1.26.5

require filippo.io/age v1.3.2
