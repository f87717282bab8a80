-- The facts of a decision ask for the switches of several people at once (P-014).
CREATE INDEX staff_switch_by_person ON staff_switch (insurer_number, insured_number);
